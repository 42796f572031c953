package nameserver

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

func mustGet(t *testing.T, s *services, name string, now time.Time) *followed {
	t.Helper()
	f, err := s.get(name, now)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f
}

func TestServicesAreShared(t *testing.T) {
	s := newServices(newFake(orders()...), 10)
	now := time.Now()
	if f := mustGet(t, s, "orders", now); f != mustGet(t, s, "orders", now) {
		t.Error("followed twice")
	}
	if _, err := s.get("a b", now); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestUnusedServicesAreDropped(t *testing.T) {
	source := newFake(orders()...)
	s := newServices(source, 10)
	now := time.Now()
	mustGet(t, s, "orders", now)
	mustGet(t, s, "unknown", now)
	mustGet(t, s, "gone", now.Add(time.Minute))
	s.sweep(now.Add(idleAfter - 1))
	if got := source.open(); !slices.Equal(got, []string{"gone", "orders", "unknown"}) {
		t.Errorf("before their time: %v", got)
	}
	// Known instances stay while etcd is away: they could not be read again.
	source.setAway(true)
	s.sweep(now.Add(idleAfter))
	if got := source.open(); !slices.Equal(got, []string{"gone", "orders"}) {
		t.Errorf("while etcd is away: %v", got)
	}
	source.setAway(false)
	s.sweep(now.Add(idleAfter))
	if got := source.open(); !slices.Equal(got, []string{"gone"}) {
		t.Errorf("%v", got)
	}
	s.close()
	if got := source.open(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// Made up names neither exceed the bound nor push out services in use.
func TestServicesAreBounded(t *testing.T) {
	source := newFake(orders()...)
	s := newServices(source, 3)
	now := time.Now()
	mustGet(t, s, "orders", now)
	mustGet(t, s, "gone", now.Add(time.Second))
	for i := range 50 {
		now = now.Add(10 * time.Millisecond)
		mustGet(t, s, fmt.Sprint("unknown", i), now)
	}
	if got := source.open(); !slices.Equal(got, []string{"gone", "orders", "unknown49"}) {
		t.Errorf("%v", got)
	}
	// While all services are in use there is no room, until one of them is not.
	mustGet(t, s, "a.b", now)
	if _, err := s.get("OrderService", now); !errors.Is(err, errBusy) {
		t.Errorf("%v", err)
	}
	now = now.Add(keepAtLeast + time.Second)
	source.setAway(true)
	if _, err := s.get("OrderService", now); !errors.Is(err, errBusy) {
		t.Errorf("while etcd is away: %v", err)
	}
	source.setAway(false)
	mustGet(t, s, "orders", now)
	mustGet(t, s, "a.b", now)
	mustGet(t, s, "OrderService", now)
	if got := source.open(); !slices.Equal(got, []string{"OrderService", "a.b", "orders"}) {
		t.Errorf("%v", got)
	}
}

func TestNewServicesAreLimited(t *testing.T) {
	source := newFake()
	s := newServices(source, 10*newBurst)
	now := time.Now()
	for i := range newBurst {
		mustGet(t, s, fmt.Sprint(i), now)
	}
	if _, err := s.get("more", now); !errors.Is(err, errBusy) {
		t.Errorf("%v", err)
	}
	mustGet(t, s, "0", now) // it is known already
	mustGet(t, s, "more", now.Add(time.Second/newPerSecond))
}

// Views follow each other, and the index follows them.
func TestIndexFollowsTheView(t *testing.T) {
	source := newFake()
	f := mustGet(t, newServices(source, 1), "s", time.Now())
	if x := f.index(); x.some {
		t.Errorf("%+v", x)
	}
	source.set("s", &discovery.Instance{Service: "s", ID: "a", Addresses: []string{"10.0.0.1:1"}})
	for end := time.Now().Add(10 * time.Second); !f.index().some; {
		if time.Now().After(end) {
			t.Fatal("it does not")
		}
	}
	if x := f.index(); x != f.index() {
		t.Error("built again without need")
	}
}

func BenchmarkIndex(b *testing.B) {
	v := fakeView{}
	for i := range 10000 {
		v = append(
			v,
			&discovery.Instance{
				Service:   "s",
				ID:        fmt.Sprint(i),
				Addresses: []string{fmt.Sprintf("10.0.%d.%d:80", i/250, i%250)},
				Version:   fmt.Sprint("v", i%10),
				Zone:      "z",
			},
		)
	}
	for b.Loop() {
		newIndex(&v)
	}
}

func BenchmarkAnswer(b *testing.B) {
	source := newFake(orders()...)
	s := newServer(b, source, Options{})
	packet, err := query("orders", 33).SetEdns0(1232, false).Pack()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.finish(s.begin(packet, maxUDP))
	}
}
