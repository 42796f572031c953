package batch

import (
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
)

// TestLeavingCallerTakesItsOperationAlong: a caller leaves a waiting group, and its operation is
// not sent. The others find their answers in the remaining places.
func TestLeavingCallerTakesItsOperationAlong(t *testing.T) {
	q := newQueue(nil, true)
	join := func(key string) (*group, int) {
		op := clientv3.OpPut(key, "v")
		return q.enter(&op)
	}
	for range slots {
		if g, _ := join("alone"); g != nil {
			t.Fatal("it does not go alone")
		}
	}
	q.mu.Lock()
	q.busy = maxSlots // the group is sent only by take below, however long this takes
	q.mu.Unlock()
	var places []int
	var g *group
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		joined, i := join(key)
		if g != nil && joined != g {
			t.Fatal("another group")
		}
		g, places = joined, append(places, i)
	}
	q.leave(g, places[3])
	q.leave(g, places[1])
	if again, _ := join("b"); again != g {
		t.Error("the key of a write that left still counts as written")
	}
	q.mu.Lock()
	sent, _ := q.take()
	q.timer.Stop()
	q.mu.Unlock()
	if sent != g {
		t.Fatal("another group is sent")
	}
	want := map[int]string{0: "a", 2: "c", 4: "e", 5: "b"}
	if len(g.ops) != len(want) {
		t.Fatalf("%d operations are sent, %d have callers", len(g.ops), len(want))
	}
	for i, key := range want {
		if got := string(g.ops[g.place(i)].KeyBytes()); got != key {
			t.Errorf("the caller with place %d finds %s, but asked for %s", i, got, key)
		}
	}
	g.cancel()

	alone, i := join("left")
	q.leave(alone, i)
	q.mu.Lock()
	defer q.mu.Unlock()
	if sent, _ := q.take(); sent != nil {
		t.Error("a group without callers is sent")
	}
}
