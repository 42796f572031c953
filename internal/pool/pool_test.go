package pool

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// thing is a value that knows whether it was closed.
type thing struct {
	mu     sync.Mutex
	closed int
}

func (x *thing) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed++
}

func (x *thing) isClosed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.closed > 0
}

func fresh() (*thing, error) { return &thing{}, nil }

func take(t *testing.T, p *Pool[*thing], key string) (*thing, func()) {
	t.Helper()
	x, back, err := p.Take(key, fresh)
	if err != nil {
		t.Fatal(err)
	}
	if x.isClosed() {
		t.Fatalf("%s was lent closed", key)
	}
	return x, back
}

func TestUsedIsNeverClosedAndIdleIsAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Limits{Idle: 2, For: time.Minute}, (*thing).close)
		defer p.Close()
		a, back1 := take(t, p, "a")
		again, back2 := take(t, p, "a")
		if a != again {
			t.Fatal("two borrowers got two values")
		}
		back1()
		back1() // more often does no harm
		time.Sleep(time.Hour)
		synctest.Wait()
		if a.isClosed() {
			t.Fatal("closed while it was lent")
		}
		back2()
		time.Sleep(59 * time.Second)
		if again, back := take(t, p, "a"); again != a {
			t.Fatal("not kept")
		} else {
			back()
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if a.isClosed() {
			t.Fatal("closed too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !a.isClosed() {
			t.Fatal("never closed")
		}
		if again, back := take(t, p, "a"); again == a {
			t.Fatal("a closed value is still there")
		} else {
			back()
		}
	})
}

func TestLongestIdleGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Limits{Idle: 2, For: time.Minute}, (*thing).close)
		defer p.Close()
		var things []*thing
		var backs []func()
		for i := range 5 {
			x, back := take(t, p, fmt.Sprint(i))
			things, backs = append(things, x), append(backs, back)
		}
		for _, i := range []int{3, 0, 4, 1} { // 2 stays lent
			backs[i]()
		}
		synctest.Wait()
		for i, closed := range []bool{true, false, false, true, false} {
			if things[i].isClosed() != closed {
				t.Errorf("%d is closed: %t", i, !closed)
			}
		}
	})
}

func TestCloseClosesEachValueOnce(t *testing.T) {
	p := New(Limits{Idle: 2, For: time.Minute}, (*thing).close)
	lent, back := take(t, p, "lent")
	idle, backIdle := take(t, p, "idle")
	backIdle()
	p.Close()
	back()
	if lent.closed != 1 || idle.closed != 1 {
		t.Errorf("closed %d and %d times", lent.closed, idle.closed)
	}
	if _, _, err := p.Take("late", fresh); err != ErrClosed {
		t.Errorf("%v", err)
	}
}

func TestFailureIsNotKept(t *testing.T) {
	p := New(Limits{Idle: 2, For: time.Minute}, (*thing).close)
	defer p.Close()
	failure := errors.New("no")
	if _, _, err := p.Take("k", func() (*thing, error) { return nil, failure }); err != failure {
		t.Errorf("%v", err)
	}
	_, back := take(t, p, "k")
	back()
}

// Borrowers, returns and expiry at once, for the race detector.
func TestManyBorrowers(t *testing.T) {
	p := New(Limits{Idle: 2, For: time.Microsecond}, (*thing).close)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				x, back, err := p.Take(fmt.Sprint((i+n)%5), fresh)
				if err != nil {
					t.Error(err)
					return
				}
				if x.isClosed() {
					t.Error("closed while it was lent")
				}
				back()
			}
		})
	}
	wg.Wait()
	p.Close()
}

func Example() {
	p := New(Limits{Idle: 8, For: time.Minute}, func(s string) { fmt.Println("closed", s) })
	s, back, err := p.Take("k", func() (string, error) { return "a connection", nil })
	fmt.Println(s, err)
	back()
	p.Close()
	// Output:
	// a connection <nil>
	// closed a connection
}
