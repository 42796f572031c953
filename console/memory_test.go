package console

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/doctor"
)

// measured returns the facts of three members with a revision and a size.
func measured(at time.Time, revision, size int64) *doctor.Facts {
	f := three(at)
	for i, m := range f.Members {
		st := m.URLs[0].Status
		st.Header = &pb.ResponseHeader{Revision: revision, MemberId: m.ID}
		st.DbSize, st.DbSizeInUse, st.DbSizeQuota = size, size, 100<<20
		m.URLs[0].Took = time.Duration(i+1) * time.Millisecond
	}
	return f
}

// TestMemoryOfADay: a day and a half of examinations leaves a day in steps, with rates, in bounded
// memory.
func TestMemoryOfADay(t *testing.T) {
	m := newMemory()
	var seen onsets
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := start
	for n := range int64(36 * 720) { // 10 changes a second, 1 KiB of growth per examination
		at = start.Add(time.Duration(n) * 5 * time.Second)
		f := measured(at, 1+50*n, 10<<20+n*1024)
		m.add(f, seen.health(f))
	}
	for _, c := range []struct {
		s    *stretch
		span time.Duration
	}{{&m.hour, time.Hour}, {&m.day, 24 * time.Hour}} {
		r := m.recall(c.s)
		if len(r.At) != memoryBuckets || r.Span != c.span.Milliseconds() ||
			r.At[len(r.At)-1]-r.At[0] != r.Span-r.Step ||
			r.Now != at.UnixMilli() {
			t.Fatalf("%v: %d steps of %d", c.span, len(r.At), r.Step)
		}
		for i := range r.At {
			if r.Changes[i] == nil || *r.Changes[i] < 9.99 || *r.Changes[i] > 10.01 || len(r.Members) != 3 ||
				*r.Members[2].Answer[i] != 3 ||
				r.Members[0].Fsync[i] != nil {
				t.Fatalf("%v, step %d: %+v", c.span, i, r)
			}
		}
		// It grows by 1 KiB in 5 s up to 100 MiB.
		want := float64(100<<20-10<<20-(36*720-1)*1024) / 1024 * 5000
		if got := float64(r.Full); got < 0.99*want || got > 1.01*want {
			t.Errorf("%v: full in %v, want %v", c.span, got, want)
		}
		if text, err := json.Marshal(r); err != nil || len(text) > 60_000 {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	}
}

// TestMemoryOfEvents: findings that begin and end, leaders, and gaps.
func TestMemoryOfEvents(t *testing.T) {
	m := newMemory()
	var seen onsets
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	look := func(after time.Duration, change func(*doctor.Facts)) {
		at = at.Add(after)
		f := measured(at, 7, 10)
		change(f)
		m.add(f, seen.health(f))
	}
	nothing := func(*doctor.Facts) {}
	look(0, nothing)
	look(time.Minute, func(f *doctor.Facts) { f.Members[2].URLs[0].Status = nil })
	look(time.Minute, func(f *doctor.Facts) { f.Members[2].URLs[0].Status = nil })
	look(10*time.Minute, func(f *doctor.Facts) {
		for _, m := range f.Members {
			m.URLs[0].Status.Leader = 2
		}
	})
	look(time.Minute, func(f *doctor.Facts) {
		for _, m := range f.Members {
			m.URLs[0].Status.Leader = 0 // during an election there is no new leader
		}
		f.Alarms = []*pb.AlarmMember{{MemberID: 2, Alarm: pb.AlarmType_NOSPACE}}
	})
	var got []string
	for _, e := range m.recall(&m.day).Events {
		got = append(got, e.Kind+" "+e.Text)
	}
	want := []string{
		"begun Member down: member m2 does not answer",
		"leader m1 leads",
		"over Member down is over, after 11m0s",
		"begun No space: the database is full, by m1",
		"begun No leader: m0, m1, m2: no leader",
	}
	for i, w := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], w) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if r := m.recall(&m.hour); r.Members[2].Answer[1] != nil || r.Members[1].Answer[1] == nil || r.Full != 0 {
		t.Errorf("a member that was away: %+v", r)
	}
	for i := range 3 * maxEvents {
		m.happened(at, "leader", fmt.Sprint(i))
	}
	if n := len(m.events); n != maxEvents || m.events[n-1].Text != fmt.Sprint(3*maxEvents-1) {
		t.Errorf("%d events, the last one %+v", n, m.events[n-1])
	}
}

// TestARestartIsNoted, whatever else was noticed of it.
func TestARestartIsNoted(t *testing.T) {
	m := newMemory()
	for i, started := range []float64{100, 100, 0, 100, 200, 200} {
		m.began(time.Unix(int64(i), 0), "m0", started)
	}
	if len(m.events) != 1 || m.events[0].At != 4000 || m.events[0].Text != "m0 restarted" {
		t.Errorf("%+v", m.events)
	}
}

// BenchmarkMemoryOfADay prints the size of a full memory of ten members in its file and on the
// heap. The goal is 16 MiB.
func BenchmarkMemoryOfADay(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := newMemory()
		m.path = filepath.Join(b.TempDir(), "history")
		var seen onsets
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for n := range int64(24 * 720) {
			f := measured(start.Add(time.Duration(n)*5*time.Second), 1+50*n, 10<<20+n*1024)
			for i := len(f.Members); i < 10; i++ {
				x := *f.Members[0]
				x.Name, x.ID = fmt.Sprint("more", i), uint64(100+i)
				f.Members = append(f.Members, &x)
			}
			m.add(f, seen.health(f))
		}
		for i := range 2 * maxEvents {
			m.happened(start, "begun", fmt.Sprint(i, strings.Repeat(" what happened", 20)))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if err := m.save(); err != nil {
			b.Fatal(err)
		}
		info, err := os.Stat(m.path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/(1<<20), "MiB-file")
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-heap")
		runtime.KeepAlive(m)
	}
}
