package httpdisc

import "testing"

func TestBudget(t *testing.T) {
	var b budget
	if b.spend() {
		t.Error("there was nothing to spend")
	}
	for range 10 {
		b.earn()
	}
	retries := 0
	for b.spend() {
		retries++
	}
	if retries != 2 {
		t.Errorf("ten requests are worth %d retries, not two", retries)
	}
	b.tokens.Store(burst)
	b.earn()
	if n := b.tokens.Load(); n != burst {
		t.Errorf("%d", n)
	}
}
