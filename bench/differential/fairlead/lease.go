// Code generated from package official. DO NOT EDIT.

package fairlead

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// keep is a channel of KeepAlive.
type keep struct {
	ch     <-chan *clientv3.LeaseKeepAliveResponse
	cancel context.CancelFunc
	ended  bool
}

// lease finds a lease by its name. A number stands for itself: a lease that does not exist.
func (r *runner) lease(name string) clientv3.LeaseID {
	if id, ok := r.leases[name]; ok {
		return id
	}
	n, _ := strconv.ParseInt(name, 10, 64)
	return clientv3.LeaseID(n)
}

func (r *runner) know(name string, id clientv3.LeaseID) {
	r.leases[name] = id
	r.rec.Lease(name, int64(id))
}

var leaseCalls = map[string]call{
	"Grant": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Grant(ctx, s.N)
		if err == nil {
			r.know(s.Name, resp.ID)
		}
		r.out(resp, err)
	},
	"Revoke": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Revoke(ctx, r.lease(s.Ref))
		r.out(resp, err)
	},
	"TimeToLive": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		var opts []clientv3.LeaseOption
		for _, o := range s.Opts {
			if o.Name == "WithAttachedKeys" {
				opts = append(opts, clientv3.WithAttachedKeys())
			}
		}
		resp, err := r.client(s).TimeToLive(ctx, r.lease(s.Ref), opts...)
		if err == nil && resp.TTL > 0 && resp.TTL <= resp.GrantedTTL {
			resp.TTL = resp.GrantedTTL // the time that is left differs
		}
		if err == nil {
			slices.SortFunc(resp.Keys, bytes.Compare) // the server keeps them in a map
		}
		r.out(resp, err)
	},
	"Leases": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).Leases(ctx)
		if err != nil {
			r.out(nil, err)
			return
		}
		// They come in the order of their ids, which differ.
		known := 0
		for _, l := range resp.Leases {
			for _, id := range r.leases {
				if id == l.ID {
					known++
				}
			}
		}
		all := len(resp.Leases)
		if r.srv.Fault != nil {
			all = known // requests to a frozen member may be executed after the program
		}
		r.rec.Add("%s, %d leases, %d known, nil %v", r.rec.Value(resp.ResponseHeader), all, known, resp.Leases == nil)
	},
	"KeepAliveOnce": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).KeepAliveOnce(ctx, r.lease(s.Ref))
		r.out(resp, err)
	},
	// KeepAlive also receives the first answer, or the end of the channel.
	"KeepAlive": func(r *runner, s script.Step) {
		ctx, cancel := r.lasting(s.Ctx)
		ch, err := r.client(s).KeepAlive(ctx, r.lease(s.Ref))
		if err != nil {
			cancel()
			r.out(nil, err)
			return
		}
		k := &keep{ch: ch, cancel: cancel}
		r.keeps[s.Name] = k
		r.answer(k)
	},
	// NextAnswer receives another answer, which comes after a third of the lease's TTL.
	"NextAnswer": func(r *runner, s script.Step) {
		if k := r.keeps[s.Ref]; k != nil {
			r.answer(k)
		}
	},
	// LeaseEnded waits until the lease has expired on the server, and its channel is closed.
	"LeaseEnded": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		if err := r.srv.LeaseGone(ctx, int64(r.lease(s.Ref))); err != nil {
			r.rec.Add("the lease does not end: %v", err)
		}
	},
	"Lease.Close": func(r *runner, s script.Step) { r.rec.Add("%s", r.err(r.client(s).Lease.Close())) },
}

func (r *runner) answer(k *keep) {
	if k.ended {
		return
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case resp, ok := <-k.ch:
		if !ok {
			k.ended = true
			r.rec.Add("closed")
			return
		}
		r.out(resp, nil)
	case <-limit.C:
		r.rec.Add("no answer within %v", patience)
	}
}

// endKeep ends a channel. It does not compare an answer that came meanwhile.
func (r *runner) endKeep(name string) {
	k := r.keeps[name]
	k.cancel()
	if k.ended {
		return
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case _, ok := <-k.ch:
			if !ok {
				return
			}
		case <-limit.C:
			r.rec.Add("%s is not closed", name)
			return
		}
	}
}
