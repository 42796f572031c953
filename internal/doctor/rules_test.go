package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// healthy is a cluster of three without findings.
func healthy() *Facts {
	f := &Facts{Now: time.Now(), Revision: 1000, Compacted: true}
	for i := range 3 {
		f.Members = append(f.Members, &Member{
			ID: uint64(i + 1), Name: fmt.Sprintf("m%d", i),
			URLs: []Address{{
				URL: fmt.Sprintf("http://127.0.0.1:%d", 2379+i), Advertised: true,
				Probe: Probe{Took: time.Millisecond},
				Status: &pb.StatusResponse{
					Version:          "3.7.3",
					Leader:           1,
					RaftIndex:        100000,
					RaftAppliedIndex: 100000,
					DbSize:           10 << 20,
					DbSizeInUse:      8 << 20,
					DbSizeQuota:      2 << 30,
				},
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
			[]string{"problem: member m1 does not answer; just a quorum is left (2 of 3): one more failure stops the " +
				"cluster"}},
		{"one is being defragmented", func(f *Facts) {
			f.Members[1].URLs[0] = Address{URL: "http://a", Probe: Probe{Err: refused}}
			f.Defragmenting = 2
		}, []string{"warning: member m1 is being defragmented"}},
		{"another client defragments one", func(f *Facts) {
			f.Members[1].URLs[0] = Address{URL: "http://a", Probe: Probe{Err: refused}, Defrags: true}
		}, []string{"warning: member m1 is being defragmented"}},
		{"another client defragments two", func(f *Facts) {
			for i := range 2 {
				f.Members[i].URLs[0] = Address{URL: "http://a", Probe: Probe{Err: refused}, Defrags: true}
			}
			f.Read.Err = errors.New("timed out")
		}, []string{
			"warning: member m0 is being defragmented; until that is done the cluster answers nothing",
			"warning: member m1 is being defragmented; until that is done the cluster answers nothing",
		}},
		{"another client defragments the only one", func(f *Facts) {
			f.ListErr, f.Read.Err = refused, refused
			only := Address{URL: "10.0.0.1:2379", Probe: Probe{Err: refused}, Defrags: true}
			f.Members = []*Member{{URLs: []Address{only}}}
		}, []string{
			"warning: the member at 10.0.0.1:2379 is being defragmented; until that is done the cluster answers",
		}},
		{"one is being defragmented, another away", func(f *Facts) {
			for i := range 2 {
				f.Members[i].URLs[0] = Address{URL: "http://a", Probe: Probe{Err: refused}}
			}
			f.Defragmenting = 2
		}, []string{
			"problem: member m0 does not answer; just a quorum is left (2 of 3)",
			"warning: member m1 is being defragmented",
		}},
		{"the defragmentation has just ended", func(f *Facts) { f.Defragmenting = 2 }, nil},
		{"no quorum", func(f *Facts) {
			for i := range 2 {
				f.Members[i].URLs[0] = Address{URL: "http://a", Probe: Probe{Err: refused}}
			}
			f.Read.Err = errors.New("timed out")
		}, []string{"problem: 1 of 3 voting members answer, 2 are needed; m0 and m1 do not"}},
		{"all answer, reads fail", func(f *Facts) { f.Read.Err = errors.New("timed out") }, []string{
			"problem: a read that needs a quorum failed although 3 of 3",
		}},
		{"nobody answers", func(f *Facts) {
			f.ListErr, f.Read.Err = refused, refused
			f.Members = []*Member{{URLs: []Address{{URL: "10.0.0.1:2379", Probe: Probe{Err: refused}}}}}
		}, []string{"problem: no endpoint answers"}},
		{"one answers, but has no list", func(f *Facts) { f.ListErr = refused }, []string{
			"problem: no endpoint could say",
		}},
		{"wrong advertisement", func(f *Facts) {
			m := f.Members[2]
			m.URLs = append([]Address{{URL: "http://localhost:1", Advertised: true, Probe: Probe{Err: refused}}},
				m.URLs...)
		}, []string{"warning: member m2 advertises http://localhost:1, which cannot be reached"}},
		{"never started", func(f *Facts) { f.Members = append(f.Members, &Member{ID: 0xabc}) }, []string{
			"warning: member abc was added but never started; just a quorum is left (3 of 4)",
			"note: 4 voting members survive no more",
		}},
		{"no leader", func(f *Facts) { status(f, 2).Leader = 0 }, []string{"problem: m2: no leader"}},
		{"two leaders", func(f *Facts) { status(f, 2).Leader = 3 }, []string{
			"warning: members disagree on the leader: m0 by m0, m1; m2 by m2",
		}},
		{"full", func(f *Facts) { f.Alarms = []*pb.AlarmMember{{MemberID: 2, Alarm: pb.AlarmType_NOSPACE}} }, []string{
			"problem: the database is full, by m1 (m1: 10 MiB of 2 GiB)",
		}},
		{"corrupt", func(f *Facts) {
			f.Alarms = []*pb.AlarmMember{{MemberID: 9, Alarm: pb.AlarmType_CORRUPT}}
		}, []string{"problem: 9 found data that differs"}},
		{"data near quota", func(f *Facts) {
			status(f, 0).DbSizeInUse, status(f, 0).DbSize = 1900<<20, 1950<<20
		}, []string{"problem: the data nearly fills the quota (m0: 1.86 GiB of 2 GiB)"}},
		{"file near quota", func(f *Facts) { status(f, 0).DbSize, status(f, 0).DbSizeQuota = 1900<<20, 0 }, []string{
			"problem: the database file nearly fills the quota (m0: 1.86 GiB of 2 GiB if it has the default, " +
				"1.85 GiB unused)",
		}},
		{"fragmented", func(f *Facts) { status(f, 0).DbSize = 600 << 20 }, []string{
			"note: more than half of the database file is unused (m0: 592 MiB of 600 MiB)",
		}},
		{"skew", func(f *Facts) { status(f, 0).Version = "3.6.1" }, []string{
			"warning: members run different versions (3.6: m0; 3.7: m1, m2)",
		}},
		{"bad version", func(f *Facts) {
			for i := range f.Members {
				status(f, i).Version = "3.5.1"
			}
		}, []string{"problem: m0 runs 3.5.1, m1 runs 3.5.1, m2 runs 3.5.1, which can lose"}},
		{"old version", func(f *Facts) { f.Members = f.Members[:1]; status(f, 0).Version = "3.4.30" }, []string{
			"warning: m0 runs 3.4.30",
		}},
		{"slow", func(f *Facts) { f.Members[1].URLs[0].Took = 300 * time.Millisecond }, []string{
			"warning: m1 takes 300ms to answer, the others about 1ms",
		}},
		{"far", func(f *Facts) {
			for _, m := range f.Members {
				m.URLs[0].Took = 150 * time.Millisecond
			}
		}, []string{"note: members take 150ms"}},
		{"disk", func(f *Facts) {
			f.Period = 5 * time.Second
			f.Members[0].URLs[0].Fsync = Quantile{64 * time.Millisecond, true}
			f.Members[0].URLs[0].Commit = Quantile{128 * time.Millisecond, true}
		}, []string{
			"warning: the disk of m0 is slow: in the last 5s 1 % or more of its writes to the log took longer than " +
				"64ms (up to 10ms is good), 1 % or more of its database commits took longer than 128ms",
		}},
		{"lag", func(f *Facts) { status(f, 1).RaftAppliedIndex = 1 }, []string{"warning: m1 is 99999 entries behind"}},
		{"learner", func(f *Facts) { f.Members[2].Learner = true }, []string{
			"note: m2 is a learner and up to date", "note: 2 voting members",
		}},
		{"elections before", func(f *Facts) { f.Members[0].URLs[0].LeadersSeen = 40 }, []string{
			"note: members have seen the leader change 40 times since they started",
		}},
		{"elections", func(f *Facts) {
			f.Period = 5 * time.Second
			for i, m := range f.Members {
				m.URLs[0].LeadersSeen, m.URLs[0].NewLeaders = 40, float64(i)
			}
		}, []string{"warning: the leader changed 2 times in the last 5s"}},
		{"certificates", func(f *Facts) {
			f.Now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			of := func(life, left time.Duration) *x509.Certificate {
				return &x509.Certificate{NotBefore: f.Now.Add(left - life), NotAfter: f.Now.Add(left)}
			}
			const day = 24 * time.Hour
			f.Members[0].URLs[0].Certificate = of(365*day, 0)
			f.Members[1].URLs[0].Certificate = of(365*day, 20*day)
			f.Members[2].URLs[0].Certificate = of(day, day/2) // programs renew it
			f.OwnCertificate = of(30*day, 10*time.Hour)
		}, []string{
			"problem: certificates of members end soon (m0: 2026-01-01 00:00:00 UTC, which is over)",
			"problem: the certificate that this client shows ends soon (2026-01-01 10:00:00 UTC, in 10 hours)",
			"warning: certificates of members end soon (m1: 2026-01-21 00:00:00 UTC, in 20 days)",
		}},
		{"own clock", func(f *Facts) {
			for _, m := range f.Members {
				m.URLs[0].HasClock, m.URLs[0].Clock = true, time.Minute
			}
		}, []string{
			"warning: the clock of this machine is wrong, or those of all members: theirs are 1m0s ahead of it",
		}},
		{"full everywhere", func(f *Facts) {
			for i, m := range f.Members {
				f.Alarms = append(f.Alarms, &pb.AlarmMember{MemberID: m.ID, Alarm: pb.AlarmType_NOSPACE})
				status(f, i).DbSize, status(f, i).DbSizeInUse = 2<<30, 2<<30
			}
		}, []string{"problem: the database is full, by m0, m1, m2"}},
		{"no leader, no reads", func(f *Facts) {
			f.Read.Err = errors.New("timed out")
			for i := range f.Members {
				status(f, i).Leader = 0
			}
		}, []string{
			"problem: a read that needs a quorum failed although 3 of 3 members answer; no leader: m0, m1, m2",
		}},
		{"clock", func(f *Facts) {
			f.Members[0].URLs[0].HasClock, f.Members[0].URLs[0].Clock = true, -time.Minute
		}, []string{"warning: the clock of m0 is 1m0s behind"}},
		{"stampede", func(f *Facts) { f.Leases, f.AllLeases = leasesOf(200, time.Minute, 50*time.Second), 400 },
			[]string{
				"warning: about 400 leases with 400 keys end within the same second (from a sample of 200 of 400)",
			}},
		{"nobody renews", func(f *Facts) { f.Leases, f.AllLeases = leasesOf(20, time.Minute, 10*time.Second), 20 },
			[]string{"warning: about 20 leases with 20 keys were not renewed"}},
		{"no permission for leases", func(f *Facts) { f.LeaseErr = refused }, []string{
			"note: these could not be looked at: the leases (connection refused)",
		}},
		{"not allowed",
			func(f *Facts) { f.KeysErr, f.LeaseErr = rpctypes.ErrPermissionDenied, rpctypes.ErrPermissionDenied },
			[]string{"note: these could not be looked at: the leases (etcdserver: permission denied), the history " +
				"(etcdserver: permission denied)"}},
		{"no user may read anything", func(f *Facts) {
			f.ListErr, f.Read.Err = rpctypes.ErrUserEmpty, rpctypes.ErrUserEmpty
			f.Members = []*Member{{URLs: []Address{{URL: "10.0.0.1:2379", Probe: Probe{Err: rpctypes.ErrUserEmpty}}}}}
		}, []string{"problem: the endpoints answer, but not to this user"}},
		{"no metrics", func(f *Facts) {
			f.Members[0].URLs[0].PagesErr, f.Members[2].URLs[0].PagesErr = errors.New("404 Not Found"),
				errors.New("404 Not Found")
		}, []string{"note: m0 and m2 have no page of metrics where clients connect"}},
		{"no quorum makes the rest", func(f *Facts) {
			for i := range 2 {
				f.Members[i].URLs[0] = Address{URL: "http://a", Probe: Probe{Err: refused}}
			}
			status(f, 2).Leader, f.Members[2].URLs[0].NewLeaders, f.Period = 0, 1, 5*time.Second
			f.Read.Err, f.LeaseErr, f.AlarmErr = errors.New("timed out"), refused, refused
		}, []string{"problem: 1 of 3 voting members answer, 2 are needed; m0 and m1 do not"}},
		{"a leader that died makes the election", func(f *Facts) {
			f.Members[1].URLs[0] = Address{URL: "http://a", Probe: Probe{Err: refused}}
			f.Members[0].URLs[0].NewLeaders, f.Period = 1, 5*time.Second
		}, []string{"problem: member m1 does not answer"}},
		{"one slow disk of one process", func(f *Facts) {
			f.Period = 5 * time.Second
			for _, m := range f.Members {
				m.URLs[0].Fsync = Quantile{64 * time.Millisecond, true}
				m.URLs[0].counted = &counters{ids: []string{"1", "2", "3"}}
			}
		}, []string{"warning: the disk of m0, m1, m2, which are one process, is slow: in the last 5s"}},
		{"no compaction", func(f *Facts) { f.Compacted, f.Revision = false, 2_000_000 }, []string{
			"warning: the history was never compacted",
		}},
		{"open", func(f *Facts) { f.Remote, f.AuthOn = true, &off }, []string{
			"note: authentication is off", "note: the connection is not encrypted",
		}},
		{"alone", func(f *Facts) { f.Members = f.Members[:1]; f.Remote, f.Secure = true, true }, []string{
			"note: there is one member",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := healthy()
			c.change(f)
			got := Judge(f)
			var lines []string
			for _, g := range got {
				lines = append(lines, g.Severity.String()+": "+g.What)
				if g.Do == "" || len(g.Run) == 0 || g.Rule == "" || g.Title == "" || g.Means == "" {
					t.Errorf("%q does not say what to do: %+v", g.What, g)
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
etcd_server_id{server_id="8e9e05c52164694d"} 1
etcd_server_leader_changes_seen_total 7
`
	h := counters{leaders: -1}
	for l := range strings.Lines(page) {
		h.line(strings.TrimSuffix(l, "\n"))
	}
	if quantile(h.fsync) != (Quantile{16 * time.Millisecond, true}) || quantile(h.commit).Known || h.leaders != 7 ||
		len(h.ids) != 1 ||
		h.ids[0] != "8e9e05c52164694d" {
		t.Errorf("%+v", h)
	}
}

// TestOnlyThePeriodCounts: what was slow before the period is not counted. A member that was
// restarted in the period is counted from its start.
func TestOnlyThePeriodCounts(t *testing.T) {
	page := func(quick, slow, leaders float64) *counters {
		return &counters{
			fsync:   []bucket{{0.001, quick}, {0.064, quick + slow}, {math.Inf(1), quick + slow}},
			leaders: leaders,
		}
	}
	for _, c := range []struct {
		name        string
		before, now *counters
		want        Quantile
		leaders     float64
	}{
		{"since the start", nil, page(1000, 500, 3), Quantile{64 * time.Millisecond, true}, 0},
		{"slow before", page(1000, 500, 3), page(2000, 500, 3), Quantile{time.Millisecond, true}, 0},
		{"slow now", page(100000, 0, 3), page(100500, 100, 5), Quantile{64 * time.Millisecond, true}, 2},
		{"one slow", page(1000, 500, 3), page(1049, 501, 3), Quantile{time.Millisecond, true}, 0},
		{"too few", page(1000, 500, 3), page(1010, 510, 3), Quantile{}, 0},
		{"restarted", page(100000, 0, 9), page(100, 100, 1), Quantile{64 * time.Millisecond, true}, 0},
	} {
		var a Address
		if a.compare(c.before, c.now); a.Fsync != c.want || a.NewLeaders != c.leaders {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
}

// TestMembersOfOneProcess: members that share a process share its counters, so each election was
// counted once for each of them.
func TestMembersOfOneProcess(t *testing.T) {
	all := []string{"1", "2", "3"}
	var a Address
	a.compare(&counters{leaders: 6, ids: all}, &counters{leaders: 9, ids: all})
	if a.NewLeaders != 1 || a.LeadersSeen != 3 {
		t.Errorf("%+v", a)
	}
}

// TestWordsOfMembersAreSafeInCommands: a member's name or URL cannot smuggle anything into a
// command that a user copies.
func TestWordsOfMembersAreSafeInCommands(t *testing.T) {
	for in, want := range map[string]string{
		"m0": "m0", "http://[::1]:2380": "'http://[::1]:2380'", "": "NAME", "-x": "NAME", "a b": "NAME",
		"$(id)": "NAME", "a;b": "NAME", "a'b": "NAME", "a\nb": "NAME",
	} {
		if got := word(in, "NAME"); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
