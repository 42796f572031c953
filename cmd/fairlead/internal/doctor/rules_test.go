package doctor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// healthy is a cluster of three of which nothing is to be said.
func healthy() *Facts {
	f := &Facts{Now: time.Now(), Revision: 1000, Compacted: true}
	for i := range 3 {
		f.Members = append(f.Members, &Member{
			ID: uint64(i + 1), Name: fmt.Sprintf("m%d", i),
			URLs: []Address{{
				URL: fmt.Sprintf("http://127.0.0.1:%d", 2379+i), Advertised: true,
				Probe:  Probe{Took: time.Millisecond},
				Status: &pb.StatusResponse{Version: "3.7.3", Leader: 1, RaftIndex: 100000, RaftAppliedIndex: 100000, DbSize: 10 << 20, DbSizeInUse: 8 << 20, DbSizeQuota: 2 << 30},
			}},
		})
	}
	return f
}

func leasesOf(n int, ttl, left time.Duration) (list []Lease) {
	for i := range n {
		list = append(list, Lease{ID: int64(i), TTL: ttl, Left: left, Keys: 1})
	}
	return list
}

func TestRules(t *testing.T) {
	refused := errors.New("connection refused")
	off := false
	status := func(f *Facts, i int) *pb.StatusResponse { return f.Members[i].URLs[0].Status }
	for _, c := range []struct {
		name   string
		change func(*Facts)
		want   []string // severity and a part of each finding, in order
	}{
		{"healthy", func(*Facts) {}, nil},
		{"one is away", func(f *Facts) { f.Members[1].URLs[0] = Address{URL: "http://a", Probe: Probe{Err: refused}} },
			[]string{"problem: member m1 does not answer (http://a: connection refused)", "warning: just a quorum is left (2 of 3)"}},
		{"no quorum", func(f *Facts) {
			for i := range 2 {
				f.Members[i].URLs[0] = Address{URL: "http://a", Probe: Probe{Err: refused}}
			}
			f.Read.Err = errors.New("timed out")
		}, []string{"problem: member m0", "problem: member m1", "problem: no quorum: 1 of 3 voting members answer, 2 are needed"}},
		{"all answer, reads fail", func(f *Facts) { f.Read.Err = errors.New("timed out") }, []string{"problem: a read that needs a quorum failed although 3 of 3"}},
		{"nobody answers", func(f *Facts) {
			f.ListErr, f.Read.Err = refused, refused
			f.Members = []*Member{{URLs: []Address{{URL: "10.0.0.1:2379", Probe: Probe{Err: refused}}}}}
		}, []string{"problem: no endpoint answers", "problem: the member at 10.0.0.1:2379 does not answer"}},
		{"one answers, but has no list", func(f *Facts) { f.ListErr = refused }, []string{"problem: no endpoint could say"}},
		{"wrong advertisement", func(f *Facts) {
			m := f.Members[2]
			m.URLs = append([]Address{{URL: "http://localhost:1", Advertised: true, Probe: Probe{Err: refused}}}, m.URLs...)
		}, []string{"warning: member m2 advertises http://localhost:1, which cannot be reached"}},
		{"never started", func(f *Facts) { f.Members = append(f.Members, &Member{ID: 0xabc}) }, []string{"warning: member abc was added but never started", "warning: just a quorum is left (3 of 4)", "note: 4 voting members survive no more"}},
		{"no leader", func(f *Facts) { status(f, 2).Leader = 0 }, []string{"problem: m2: no leader"}},
		{"two leaders", func(f *Facts) { status(f, 2).Leader = 3 }, []string{"warning: members disagree on the leader: 1 by m0, m1; 3 by m2"}},
		{"full", func(f *Facts) { f.Alarms = []*pb.AlarmMember{{MemberID: 2, Alarm: pb.AlarmType_NOSPACE}} }, []string{"problem: the database of m1 is full"}},
		{"corrupt", func(f *Facts) { f.Alarms = []*pb.AlarmMember{{MemberID: 9, Alarm: pb.AlarmType_CORRUPT}} }, []string{"problem: 9 found its data to differ"}},
		{"data near quota", func(f *Facts) { status(f, 0).DbSizeInUse, status(f, 0).DbSize = 1900<<20, 1950<<20 }, []string{"problem: the data of m0 takes 1.86 GiB, its quota is 2 GiB"}},
		{"file near quota", func(f *Facts) { status(f, 0).DbSize, status(f, 0).DbSizeQuota = 1900<<20, 0 }, []string{"problem: the database file of m0 takes 1.86 GiB, of which 1.85 GiB are unused; its quota, if it is the default, is 2 GiB"}},
		{"fragmented", func(f *Facts) { status(f, 0).DbSize = 600 << 20 }, []string{"note: more than half of the database file of m0 is unused"}},
		{"skew", func(f *Facts) { status(f, 0).Version = "3.6.1" }, []string{"warning: members run different versions (3.6: m0; 3.7: m1, m2)"}},
		{"bad version", func(f *Facts) {
			for i := range f.Members {
				status(f, i).Version = "3.5.1"
			}
		}, []string{"problem: m0 runs 3.5.1", "problem: m1", "problem: m2"}},
		{"old version", func(f *Facts) { f.Members = f.Members[:1]; status(f, 0).Version = "3.4.30" }, []string{"warning: m0 runs 3.4.30"}},
		{"slow", func(f *Facts) { f.Members[1].URLs[0].Took = 300 * time.Millisecond }, []string{"warning: m1 takes 300ms to answer, the others about 1ms"}},
		{"far", func(f *Facts) {
			for _, m := range f.Members {
				m.URLs[0].Took = 150 * time.Millisecond
			}
		}, []string{"note: members take 150ms"}},
		{"disk", func(f *Facts) {
			f.Members[0].URLs[0].Fsync = Quantile{64 * time.Millisecond, true}
			f.Members[0].URLs[0].Commit = Quantile{128 * time.Millisecond, true}
		}, []string{"warning: 1 % of the disk writes of m0 take longer than 64ms", "warning: 1 % of the database commits of m0"}},
		{"lag", func(f *Facts) { status(f, 1).RaftAppliedIndex = 1 }, []string{"warning: m1 is 99999 entries behind"}},
		{"learner", func(f *Facts) { f.Members[2].Learner = true }, []string{"note: m2 is a learner and up to date", "note: 2 voting members"}},
		{"elections", func(f *Facts) { f.Members[0].URLs[0].Elections = 40 }, []string{"note: m0 has seen the leader change 40 times"}},
		{"clock", func(f *Facts) { f.Members[0].URLs[0].HasClock, f.Members[0].URLs[0].Clock = true, -time.Minute }, []string{"warning: the clock of m0 is 1m0s behind"}},
		{"stampede", func(f *Facts) { f.Leases, f.AllLeases = leasesOf(200, time.Minute, 50*time.Second), 400 },
			[]string{"warning: about 400 leases with 400 keys end within the same second (from a sample of 200 of 400)"}},
		{"nobody renews", func(f *Facts) { f.Leases, f.AllLeases = leasesOf(20, time.Minute, 10*time.Second), 20 },
			[]string{"warning: about 20 leases with 20 keys were not renewed"}},
		{"no permission for leases", func(f *Facts) { f.LeaseErr = refused }, []string{"note: leases could not be looked at"}},
		{"no compaction", func(f *Facts) { f.Compacted, f.Revision = false, 2_000_000 }, []string{"warning: the history was never compacted"}},
		{"open", func(f *Facts) { f.Remote, f.AuthOn = true, &off }, []string{"note: everybody who reaches", "note: the connection is not encrypted"}},
		{"alone", func(f *Facts) { f.Members = f.Members[:1]; f.Remote, f.Secure = true, true }, []string{"note: there is one member"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := healthy()
			c.change(f)
			got := Judge(f)
			var lines []string
			for _, g := range got {
				lines = append(lines, g.Severity.String()+": "+g.What)
				if g.Do == "" && g.Severity == Problem {
					t.Errorf("%q does not say what to do", g.What)
				}
			}
			ok := len(lines) == len(c.want)
			for i := range min(len(lines), len(c.want)) {
				sev, part, _ := strings.Cut(c.want[i], ": ")
				ok = ok && strings.HasPrefix(lines[i], sev+": "+part)
			}
			if !ok {
				t.Errorf("findings\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestReadMetrics(t *testing.T) {
	page := `# HELP x
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 400
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.008"} 980
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.016"} 995
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 1000
etcd_disk_backend_commit_duration_seconds_bucket{le="0.001"} 3
etcd_disk_backend_commit_duration_seconds_bucket{le="+Inf"} 3
etcd_server_leader_changes_seen_total 7
`
	a := Address{Elections: -1}
	var h histograms
	for l := range strings.Lines(page) {
		h.line(strings.TrimSuffix(l, "\n"), &a)
	}
	if quantile(h.fsync) != (Quantile{16 * time.Millisecond, true}) || quantile(h.commit).Known || a.Elections != 7 {
		t.Errorf("%+v, %+v", h, a)
	}
}
