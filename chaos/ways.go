package main

// Workers make the same calls in several ways; all are judged alike.

import (
	"context"
	"strings"

	"github.com/fairlead-go/fairlead/cache"
	clientv3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/namespace"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// way is what the calls of a worker go through.
type way string

const (
	straight   way = "the client"
	namespaced way = "a namespace"
	cached     way = "a cache" // of two prefixes: reads are answered from the copy
	stm        way = "STM"     // comparisons are transactions of package concurrency
)

// wayOf returns the way of a worker: the last three have one of their own.
func wayOf(id int) way {
	switch id {
	case workers:
		return stm
	case workers - 1:
		return cached
	case workers - 2:
		return namespaced
	}
	return straight
}

// caller makes calls in one way.
type caller struct {
	client *clientv3.Client
	kv     clientv3.KV
	under  string       // the prefix that kv leaves out of keys
	copy   *cache.Cache // nil: none
	stm    bool
}

func newCaller(c *clientv3.Client, w way) (caller, error) {
	r := caller{client: c, kv: c.KV}
	switch w {
	case namespaced:
		r.kv, r.under = namespace.NewKV(c.KV, space), space
	case cached:
		var err error
		if r.copy, err = cache.New(c, []string{kvScope, markScope}); err != nil {
			return r, err
		}
		r.kv = r.copy
	case stm:
		r.stm = true
	}
	return r, nil
}

func (r *caller) close() error {
	if r.copy == nil {
		return nil
	}
	return r.copy.Close()
}

// forwarded returns how many reads the copy could not answer.
func (r *caller) forwarded() (n int) {
	if r.copy != nil {
		for _, s := range r.copy.States() {
			n += int(s.Forwarded)
		}
	}
	return n
}

// compareAndSet makes a CAS as a transaction of package concurrency.
func (r *caller) compareAndSet(ctx context.Context, o *history.Op) error {
	key := o.Keys[0]
	t, err := concurrency.NewSTM(r.client, func(s concurrency.STM) error {
		o.Saw = nil
		if o.Applied = s.Rev(key) == o.Expect; o.Applied {
			s.Put(key, o.Value)
		} else if rev := s.Rev(key); rev != 0 {
			o.Saw = []history.KV{{Key: key, Value: s.Get(key), ModRev: rev}}
		}
		return nil
	}, concurrency.WithAbortContext(ctx))
	if err != nil {
		return err
	}
	o.Rev = t.Header.Revision
	return nil
}

// name returns a key in the form that the caller's kv expects.
func (r *caller) name(key string) string { return strings.TrimPrefix(key, r.under) }
