package leasing

import "testing"

// A restored etcd may have an earlier leasing key than the one that is given up already: both are
// deleted.
func TestLeavesEachLeasingKey(t *testing.T) {
	l := &leasing{term: &tenure{}, leaving: make(map[string][]int64), release: make(chan struct{}, 1)}
	for _, fence := range []int64{40, 5, 40} {
		l.leave("k", fence)
	}
	if _, list := l.some(perTxn); len(list) != 2 || list[0] == list[1] {
		t.Errorf("to be deleted: %v", list)
	}
	if _, list := l.some(1); len(list) != 1 {
		t.Errorf("at most one: %v", list)
	}
}
