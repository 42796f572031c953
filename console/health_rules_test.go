package console

import (
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/doctor"
)

// three is a cluster of three members, the first of which leads.
func three(now time.Time) *doctor.Facts {
	f := &doctor.Facts{Now: now, Compacted: true}
	for i := range 3 {
		f.Members = append(
			f.Members,
			&doctor.Member{ID: uint64(i + 1), Name: fmt.Sprint("m", i), URLs: []doctor.Address{{
				URL: fmt.Sprint("http://m", i), Advertised: true, LeadersSeen: -1,
				Status: &pb.StatusResponse{
					Version:     "3.7.3",
					Leader:      1,
					DbSize:      10,
					DbSizeInUse: 10,
					DbSizeQuota: 1 << 30,
				},
			}}},
		)
	}
	return f
}

// TestSinceWhen: a finding keeps its time while it lasts, whatever its figures are, and is marked
// if it was there at the first examination.
func TestSinceWhen(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	slow := func(now time.Time, took time.Duration) *doctor.Facts {
		f := three(now)
		f.Members[1].URLs[0].Took = took
		return f
	}
	var o onsets
	for n, c := range []struct {
		facts   *doctor.Facts
		since   time.Time // zero: there is no finding
		earlier bool
	}{
		{slow(at, 300*time.Millisecond), time.Time{}, false}, // not a finding yet: it may be chance
		{slow(at.Add(5*time.Second), 900*time.Millisecond), at, true},
		{slow(at.Add(10*time.Second), 0), time.Time{}, false},
		{slow(at.Add(15*time.Second), time.Second), time.Time{}, false},
		{slow(at.Add(20*time.Second), time.Second), at.Add(15 * time.Second), false},
	} {
		h := o.health(c.facts)
		if c.since.IsZero() {
			if len(h.Findings) != 0 {
				t.Errorf("%d: %+v", n, h.Findings)
			}
			continue
		}
		if len(h.Findings) != 1 || h.Findings[0].Rule != "slow" || h.Findings[0].Since != c.since.UnixMilli() ||
			h.Findings[0].Earlier != c.earlier {
			t.Errorf("%d: %+v", n, h.Findings)
		}
	}
}

// TestMends: the operations for each finding, with the member to use; notes are not among the
// findings.
func TestMends(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*doctor.Facts)
		want   string
	}{
		{"nothing", func(*doctor.Facts) {}, "[]"},
		{"a note", func(f *doctor.Facts) { f.Members[0].URLs[0].PagesErr = fmt.Errorf("404") }, "[]"},
		{"full", func(f *doctor.Facts) {
			f.Alarms = []*pb.AlarmMember{{MemberID: 2, Alarm: pb.AlarmType_NOSPACE}}
		}, "[no-space problem true [compact: defragment: disarm:]]"},
		{"corrupt", func(f *doctor.Facts) {
			f.Alarms = []*pb.AlarmMember{{MemberID: 2, Alarm: pb.AlarmType_CORRUPT}}
		}, "[corrupt problem true [member-remove:2]]"},
		{"down", func(f *doctor.Facts) {
			f.Members[2].URLs[0].Status = nil
		}, "[silent problem false [member-remove:3]]"},
		{"full and down", func(f *doctor.Facts) {
			f.Members[2].URLs[0].Status = nil
			f.Alarms = []*pb.AlarmMember{{MemberID: 2, Alarm: pb.AlarmType_NOSPACE}}
		}, "[no-space problem true [compact: defragment: disarm:] silent problem false [member-remove:3]]"},
		{"a slow leader", func(f *doctor.Facts) {
			f.Members[0].URLs[0].Took = time.Second
		}, "[slow warning false [move-leader:]]"},
		{"a slow follower", func(f *doctor.Facts) {
			f.Members[1].URLs[0].Took = time.Second
		}, "[slow warning false []]"},
		{"a stranger's endpoint", func(f *doctor.Facts) {
			f.Members = append(f.Members, &doctor.Member{
				Unlisted: true, URLs: []doctor.Address{{URL: "x", Probe: doctor.Probe{Err: fmt.Errorf("refused")}}},
			})
		}, "[silent problem false []]"},
	} {
		f := three(time.Now())
		c.change(f)
		var got []any
		var o onsets
		o.health(f)
		for _, g := range o.health(f).Findings {
			var mends []string
			for _, m := range g.Mends {
				mends = append(mends, m.Action+":"+m.Member)
			}
			got = append(got, g.Rule, g.Severity, g.Stops, mends)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

// TestRequestsCountOnce: members in one process, health checks, and members that restart or were
// away.
func TestRequestsCountOnce(t *testing.T) {
	for line, want := range map[string]float64{
		`grpc_server_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 7`:             7,
		`grpc_server_started_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"} 2`:  2,
		`grpc_server_started_total{grpc_method="Watch",grpc_service="grpc.health.v1.Health",grpc_type="x"} 9`:         0,
		`grpc_server_started_total{grpc_method="Status",grpc_service="etcdserverpb.Maintenance",grpc_type="unary"} 9`: 0,
		`grpc_server_handled_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 7`:             0,
	} {
		if got := requestsOf(line); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
	sum := tally{last: make(map[string]float64)}
	for n, c := range []struct {
		list []counted
		want float64
	}{
		{[]counted{{"a", 10}, {"a", 10}, {"a", 11}}, 11}, // one process
		{[]counted{{"a", 15}, {"a", 15}, {"a", 15}}, 15},
		{[]counted{{"a", 15}, {"b", 1000}}, 15}, // a new process, whose earlier requests do not count
		{[]counted{{"a", 16}, {"b", 1010}}, 26},
		{[]counted{{}, {"b", 1010}}, 26}, // away
		{[]counted{{"a", 17}, {"b", 2}}, 27},
		{nil, 0}, // unknown
		{[]counted{{"a", 18}, {"b", 3}}, 29},
	} {
		if got := sum.add(c.list); got != c.want {
			t.Errorf("%d: %v, want %v", n, got, c.want)
		}
	}
}

// TestDefragmenting: an examination during which a member was defragmented at any time knows it.
func TestDefragmenting(t *testing.T) {
	var d defragmenting
	before := time.Now()
	if id := d.since(before); id != 0 {
		t.Errorf("before the first: %x", id)
	}
	end := d.begin("1f")
	if id := d.since(time.Now()); id != 0x1f {
		t.Errorf("meanwhile: %x", id)
	}
	end()
	after := time.Now().Add(time.Nanosecond)
	if id := d.since(before); id != 0x1f {
		t.Errorf("ended during the examination: %x", id)
	}
	if id := d.since(after); id != 0 {
		t.Errorf("ended before it: %x", id)
	}
	d.begin("2")
	if id := d.since(after); id != 2 {
		t.Errorf("the next: %x", id)
	}
	for _, m := range []struct {
		of   member
		want bool
	}{{member{ID: "1"}, false}, {member{ID: "2"}, true}, {member{Endpoint: "a:1"}, false}} {
		if got := d.excuses(&m.of, after); got != m.want {
			t.Errorf("%+v: %v", m.of, got)
		}
	}
	// Another client defragments others.
	d.saw(&doctor.Facts{Members: []*doctor.Member{
		{ID: 1, URLs: []doctor.Address{{URL: "http://a:1", Defrags: true}}},
		{URLs: []doctor.Address{{URL: "b:1", Defrags: true}}},
	}})
	for _, m := range []struct {
		of   member
		want bool
	}{
		{member{ID: "1"}, true}, {member{Endpoint: "a:1"}, true}, {member{Endpoint: "https://b:1"}, true},
		{member{ID: "0", Endpoint: "c:1"}, false}, {member{}, false},
	} {
		if got := d.excuses(&m.of, after); got != m.want {
			t.Errorf("%+v: %v", m.of, got)
		}
	}
	if d.saw(&doctor.Facts{}); d.excuses(&member{ID: "1"}, after) {
		t.Error("it has ended")
	}
}
