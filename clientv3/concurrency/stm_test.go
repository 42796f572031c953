package concurrency_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

var isolations = map[string]concurrency.Isolation{
	"SerializableSnapshot": concurrency.SerializableSnapshot, "Serializable": concurrency.Serializable,
	"RepeatableReads": concurrency.RepeatableReads, "ReadCommitted": concurrency.ReadCommitted,
}

func put(t *testing.T, c *clientv3.Client, key, value string) int64 {
	t.Helper()
	r, err := c.Put(clienttest.Within(t, clienttest.Long), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func TestSTMSees(t *testing.T) {
	c := clienttest.Shared(t)
	a, b, w := t.Name()+"/a", t.Name()+"/b", t.Name()+"/w"
	rev := put(t, c, a, "1")
	put(t, c, b, "2")
	for name, level := range isolations {
		t.Run(name, func(t *testing.T) {
			put(t, c, a, "1")
			rev = put(t, c, a, "1")
			r, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
				for _, tc := range []struct{ what, got, want string }{
					{"a", s.Get(a), "1"}, {"nothing", s.Get(a + "x"), ""}, {"the first of two", s.Get(a, b), "1"},
					{"the first, which is not there", s.Get(a+"x", b), ""}, {"no keys", s.Get(), ""},
				} {
					if tc.got != tc.want {
						t.Errorf("%s: %q, want %q", tc.what, tc.got, tc.want)
					}
				}
				if s.Rev(a) != rev || s.Rev(a+"x") != 0 {
					t.Errorf("revisions %d and %d, want %d and 0", s.Rev(a), s.Rev(a+"x"), rev)
				}
				s.Put(w, "new")
				if s.Get(w) != "new" || s.Get(b, w) != "new" {
					t.Errorf("own write: %q, %q", s.Get(w), s.Get(b, w))
				}
				s.Del(a)
				if s.Get(a) != "" {
					t.Errorf("own delete: %q", s.Get(a))
				}
				return nil
			}, concurrency.WithIsolation(level), concurrency.WithPrefetch(a, b))
			if err != nil || !r.Succeeded || len(r.Responses) != 2 {
				t.Fatalf("%v, %v", r, err)
			}
			if k := keys(t, c, a); len(k) != 0 {
				t.Errorf("not deleted: %v", k)
			}
		})
	}
}

// TestSTMRevOfAWrittenKeyIsItsRevision: a put or delete before it in the transaction does not make
// Rev 0. Rev counts as a read, so a change by another client makes the transaction run again.
func TestSTMRevOfAWrittenKeyIsItsRevision(t *testing.T) {
	c := clienttest.Shared(t)
	for name, level := range isolations {
		t.Run(name, func(t *testing.T) {
			key, absent := t.Name()+"/key", t.Name()+"/absent"
			rev := put(t, c, key, "1")
			runs := 0
			_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
				runs++
				s.Put(key, "2")
				s.Put(absent, "2")
				if s.Rev(key) != rev || s.Rev(absent) != 0 || s.Get(key) != "2" {
					t.Errorf(
						"revisions %d and %d, value %q, want %d, 0 and the own one",
						s.Rev(key),
						s.Rev(absent),
						s.Get(key),
						rev,
					)
				}
				s.Del(key)
				if s.Rev(key) != rev || s.Get(key) != "" {
					t.Errorf("deleted: revision %d, value %q, want %d and none", s.Rev(key), s.Get(key), rev)
				}
				if runs == 1 {
					rev = put(t, c, key, "another's")
				}
				return nil
			}, concurrency.WithIsolation(level))
			want := 2
			if level == concurrency.ReadCommitted {
				want = 1
			}
			if err != nil || runs != want {
				t.Errorf("%d runs, %v, want %d", runs, err, want)
			}
		})
	}
}

// Counters that many increment end at the number of increments, if the isolation promises that;
// conflicts are counted.
func TestSTMCounts(t *testing.T) {
	c := clienttest.Shared(t)
	const clients, times = 8, 10
	for name, level := range isolations {
		if level == concurrency.ReadCommitted {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var conflicts atomic.Int64
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for range times {
						_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
							n, _ := strconv.Atoi(s.Get(t.Name()))
							s.Put(t.Name(), strconv.Itoa(n+1))
							return nil
						}, concurrency.WithIsolation(level),
							concurrency.WithAbortContext(clienttest.Within(t, clienttest.Long)),
							concurrency.WithOnConflict(func(int) { conflicts.Add(1) }))
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			r, err := c.Get(clienttest.Within(t, clienttest.Long), t.Name())
			if err != nil || string(r.Kvs[0].Value) != strconv.Itoa(clients*times) {
				t.Errorf("%v, %v", r, err)
			}
			t.Logf("%d conflicts", conflicts.Load())
		})
	}
}

// At each isolation another client changes a key between two reads, and a key that is only written.
func TestSTMIsolation(t *testing.T) {
	c := clienttest.Shared(t)
	for name, level := range isolations {
		t.Run(name, func(t *testing.T) {
			x, y, w := t.Name()+"/x", t.Name()+"/y", t.Name()+"/w"
			put(t, c, x, "old")
			put(t, c, y, "old")
			put(t, c, w, "old")
			runs := 0
			var first [2]string
			_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
				runs++
				vx := s.Get(x)
				if runs == 1 {
					put(t, c, y, "new")
				}
				vy := s.Get(y)
				if runs == 1 {
					first = [2]string{vx, vy}
				}
				s.Put(w, vx+vy)
				return nil
			}, concurrency.WithIsolation(level))
			if err != nil {
				t.Fatal(err)
			}
			snapshot := level == concurrency.SerializableSnapshot || level == concurrency.Serializable
			if want := map[bool]string{true: "old", false: "new"}[snapshot]; first[1] != want {
				t.Errorf("the second read saw %q, want %q", first[1], want)
			}
			if want := map[bool]int{true: 2, false: 1}[snapshot]; runs != want {
				t.Errorf("%d runs, want %d", runs, want)
			}
			// A key that is written blindly.
			runs = 0
			_, err = concurrency.NewSTM(c, func(s concurrency.STM) error {
				runs++
				s.Get(x)
				if runs == 1 {
					put(t, c, w, "by another")
				}
				s.Put(w, "blind")
				return nil
			}, concurrency.WithIsolation(level))
			if want := map[bool]int{true: 2, false: 1}[level == concurrency.SerializableSnapshot]; err != nil ||
				runs != want {
				t.Errorf("blind write: %v, %d runs, want %d", err, runs, want)
			}
		})
	}
}

func TestSTMFails(t *testing.T) {
	c := clienttest.Shared(t)
	mine := errors.New("mine")
	if r, err := concurrency.NewSTM(c, func(s concurrency.STM) error { s.Put(t.Name(), "x"); return mine }); r != nil ||
		err != mine {
		t.Errorf("%v, %v", r, err)
	}
	if k := keys(t, c, t.Name()); len(k) != 0 {
		t.Errorf("written by a transaction that failed: %v", k)
	}
	after, tidied := false, false
	_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
		defer func() { tidied = true }()
		s.Get("")
		after = true
		return nil
	})
	if err != rpctypes.ErrEmptyKey || after || !tidied {
		t.Errorf("a read that fails: %v; went on %t, deferred functions ran %t", err, after, tidied)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := concurrency.NewSTM(c, func(s concurrency.STM) error { s.Get("x"); return nil },
		concurrency.WithAbortContext(ctx)); err != context.Canceled {
		t.Errorf("%v", err)
	}
	func() {
		defer func() {
			if recover() != "the function's own" {
				t.Error("a panic of the function did not reach the caller")
			}
		}()
		_, _ = concurrency.NewSTM(c, func(concurrency.STM) error { panic("the function's own") })
	}()
	if r, err := concurrency.NewSTM(c, func(concurrency.STM) error { return nil }); err != nil || !r.Succeeded {
		t.Errorf("an empty transaction: %v, %v", r, err)
	}
	for _, f := range []func(context.Context, *clientv3.Client,
		func(concurrency.STM) error) (*clientv3.TxnResponse, error){
		concurrency.NewSTMReadCommitted, concurrency.NewSTMRepeatable, concurrency.NewSTMSerializable,
	} {
		if r, err := f(clienttest.Within(t, clienttest.Long), c,
			func(s concurrency.STM) error { s.Put(t.Name(), s.Get(t.Name())+"+"); return nil }); err != nil ||
			!r.Succeeded {
			t.Errorf("%v, %v", r, err)
		}
	}
	if r, err := c.Get(clienttest.Within(t, clienttest.Long), t.Name()); err != nil || string(r.Kvs[0].Value) != "+++" {
		t.Errorf("%v, %v", r, err)
	}
}

func TestFrozenSTM(t *testing.T) {
	_, s, freeze := frozen(t)
	freeze()
	returns(t, "a read", func(ctx context.Context) error {
		_, err := concurrency.NewSTM(
			s.Client(),
			func(s concurrency.STM) error { s.Get("x"); return nil },
			concurrency.WithAbortContext(ctx),
		)
		return err
	})
	returns(t, "a commit", func(ctx context.Context) error {
		_, err := concurrency.NewSTM(
			s.Client(),
			func(s concurrency.STM) error { s.Put("x", "y"); return nil },
			concurrency.WithAbortContext(ctx),
		)
		return err
	})
}

// TestReadsOfOneKeyAreTheSame: a prefetched or read key is not read again, at any isolation.
func TestReadsOfOneKeyAreTheSame(t *testing.T) {
	c := clienttest.Shared(t)
	for name, level := range isolations {
		t.Run(name, func(t *testing.T) {
			key, other := t.Name(), t.Name()+"x"
			runs := 0
			_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
				if runs++; runs == 1 {
					put(t, c, key, "new")
				}
				if first, again := s.Get(key), s.Get(key, other); first != again || runs == 1 && first != "" {
					t.Errorf("run %d: %q, then %q", runs, first, again)
				}
				return nil
			}, concurrency.WithIsolation(level), concurrency.WithPrefetch(key),
				concurrency.WithAbortContext(clienttest.Within(t, clienttest.Long)))
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// An isolation that does not exist is an error.
func TestSTMUnknownIsolation(t *testing.T) {
	for _, level := range []concurrency.Isolation{-1, concurrency.ReadCommitted + 1} {
		_, err := concurrency.NewSTM(clienttest.Shared(t), func(concurrency.STM) error {
			t.Errorf("%d: the function ran", level)
			return nil
		}, concurrency.WithIsolation(level))
		if err == nil {
			t.Errorf("%d was accepted", level)
		}
	}
}
