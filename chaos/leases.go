package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "github.com/fairlead-go/fairlead/clientv3"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// holder holds one lease after the other, each with a key of its own.
type holder struct {
	id, client int
	cli        *clientv3.Client
	clock      history.Clock
	rnd        *rand.Rand

	n      int
	leases []history.Lease
	ops    []history.Op // the writes of the keys
	grants int          // grants that failed
}

// run holds leases until ctx ends. It pauses between two leases, so the length of the run bounds
// their number.
func (h *holder) run(ctx context.Context) {
	for ctx.Err() == nil {
		h.hold(ctx)
		pause(ctx, 200*time.Millisecond)
	}
}

// hold is the life of one lease: it is granted, attached to a key and renewed, and then lost or
// given up in one of several ways.
func (h *holder) hold(ctx context.Context) {
	h.n++
	l := history.Lease{Client: h.client, Key: fmt.Sprintf("%s%d/%d", leaseScope, h.id, h.n), Granted: h.clock.Now()}
	gctx, done := context.WithTimeout(ctx, 3*time.Second)
	g, err := h.cli.Grant(gctx, 3+int64(h.rnd.IntN(4)))
	done()
	if err != nil {
		h.grants++
		return
	}
	l.ID, l.TTL = int64(g.ID), time.Duration(g.TTL)*time.Second
	kctx, stop := context.WithCancel(ctx)
	defer stop()
	renewals, err := h.cli.KeepAlive(kctx, g.ID)
	if err != nil {
		h.grants++
		return
	}
	// The key is written meanwhile, so that the holder notices the end of the renewals at once.
	attached := make(chan history.Op, 1)
	o := h.attachment(l.Key, g.ID)
	go func() { attached <- h.attach(ctx, o, g.ID) }()
	defer func() {
		o := <-attached
		l.PutRev = o.Rev
		h.ops, h.leases = append(h.ops, o), append(h.leases, l)
	}()

	life := time.NewTimer(2*time.Second + time.Duration(h.rnd.Int64N(int64(20*time.Second))))
	defer life.Stop()
	for l.Released == 0 {
		select {
		case _, ok := <-renewals:
			if !ok {
				if ctx.Err() != nil { // the end of the run closed it
					l.Released = h.clock.Now()
				} else {
					l.Noticed = h.clock.Now()
				}
				return
			}
			l.Renewals, l.LastAck = l.Renewals+1, h.clock.Now()
		case <-life.C:
			l.Released = h.clock.Now()
		case <-ctx.Done():
			l.Released = h.clock.Now()
		}
	}
	if h.rnd.IntN(2) == 0 { // otherwise it is left to expire
		rctx, done := context.WithTimeout(ctx, time.Second)
		defer done()
		_, _ = h.cli.Revoke(rctx, g.ID) // either way it is given up
	}
}

// attachTimeout bounds the writing of a lease's key.
const attachTimeout = time.Second

// attachment is the write of a lease's key.
func (h *holder) attachment(key string, id clientv3.LeaseID) history.Op {
	return history.Op{
		ID: h.id*1_000_000 + h.n, Client: h.client, Kind: history.Put, Keys: []string{key},
		Value: fmt.Sprintf("%x", int64(id)),
	}
}

func (h *holder) attach(ctx context.Context, o history.Op, id clientv3.LeaseID) history.Op {
	pctx, done := context.WithTimeout(ctx, attachTimeout)
	defer done()
	o.Call = h.clock.Now()
	o.Deadline = o.Call + attachTimeout
	r, err := h.cli.Put(pctx, o.Keys[0], o.Value, clientv3.WithLease(id))
	o.Return = h.clock.Now()
	settle(&o, err)
	if ctx.Err() != nil {
		o.Deadline = 0
	}
	if err == nil {
		o.Rev = r.Header.Revision
	}
	return o
}
