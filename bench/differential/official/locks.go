package official

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// session is a session and its mutexes and elections by their prefixes.
type session struct {
	*concurrency.Session
	mutexes   map[string]*concurrency.Mutex
	elections map[string]*concurrency.Election
}

// observer is a channel of Observe.
type observer struct {
	ch     <-chan *clientv3.GetResponse
	cancel context.CancelFunc
}

func (s *session) mutex(prefix string) *concurrency.Mutex {
	m := s.mutexes[prefix]
	if m == nil {
		m = concurrency.NewMutex(s.Session, prefix)
		s.mutexes[prefix] = m
	}
	return m
}

func (s *session) election(prefix string) *concurrency.Election {
	e := s.elections[prefix]
	if e == nil {
		e = concurrency.NewElection(s.Session, prefix)
		s.elections[prefix] = e
	}
	return e
}

// session returns the session that a step names.
func (r *runner) session(s script.Step) *session {
	x := r.sessions[s.Ref]
	if x == nil {
		panic(fmt.Sprintf("%s: %v", s.Ref, errNoSuchResult))
	}
	return x
}

// In these steps Ref is the session, Key the prefix, Value what is proclaimed.
var lockCalls = map[string]call{
	// NewSession has a TTL of N seconds, and the lease Ref if there is one.
	"NewSession": func(r *runner, s script.Step) {
		opts := []concurrency.SessionOption{concurrency.WithTTL(int(s.N))}
		if s.Ref != "" {
			opts = append(opts, concurrency.WithLease(r.lease(s.Ref)))
		}
		if s.Ctx.Kind != "" {
			ctx, cancel := r.context(s.Ctx)
			defer cancel()
			opts = append(opts, concurrency.WithContext(ctx))
		}
		x, err := concurrency.NewSession(r.client(s), opts...)
		if err != nil {
			r.out(nil, err)
			return
		}
		r.know(s.Name, x.Lease())
		r.sessions[s.Name] = &session{
			Session: x, mutexes: make(map[string]*concurrency.Mutex), elections: make(map[string]*concurrency.Election),
		}
		r.rec.Add("same client %v", x.Client() == r.client(s))
	},
	"Session.Close": func(r *runner, s script.Step) {
		x := r.session(s)
		r.rec.Add("%s, context %v", r.err(x.Close()), r.ended(x))
	},
	"Orphan": func(r *runner, s script.Step) {
		x := r.session(s)
		x.Orphan()
		r.rec.Add("context %v", r.ended(x))
	},
	"Lock": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		m := r.session(s).mutex(s.Key)
		r.rec.Add("%s", r.err(m.Lock(ctx)))
		r.owned(m)
	},
	"TryLock": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		m := r.session(s).mutex(s.Key)
		r.rec.Add("%s", r.err(m.TryLock(ctx)))
		r.owned(m)
	},
	"Unlock": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		m := r.session(s).mutex(s.Key)
		r.rec.Add("%s", r.err(m.Unlock(ctx)))
		r.owned(m)
	},
	// IsOwner puts Value into the key "owned" if the mutex is held.
	"IsOwner": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.client(s).
			Txn(ctx).
			If(r.session(s).mutex(s.Key).IsOwner()).
			Then(clientv3.OpPut("owned", s.Value)).
			Commit()
		r.out(resp, err)
	},
	"Campaign": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		e := r.session(s).election(s.Key)
		r.rec.Add("%s", r.err(e.Campaign(ctx, s.Value)))
		r.elected(e)
	},
	"Proclaim": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		e := r.session(s).election(s.Key)
		r.rec.Add("%s", r.err(e.Proclaim(ctx, s.Value)))
		r.elected(e)
	},
	"Resign": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		e := r.session(s).election(s.Key)
		r.rec.Add("%s", r.err(e.Resign(ctx)))
		r.elected(e)
	},
	"Leader": func(r *runner, s script.Step) {
		ctx, cancel := r.context(s.Ctx)
		defer cancel()
		resp, err := r.session(s).election(s.Key).Leader(ctx)
		r.out(resp, err)
	},
	// ResumeElection continues the election of an earlier session, if that one leads.
	"ResumeElection": func(r *runner, s script.Step) {
		x := r.session(s)
		old := x.election(s.Key)
		if old.Key() == "" {
			return
		}
		x.elections[s.Key] = concurrency.ResumeElection(x.Session, s.Key, old.Key(), old.Rev())
		r.elected(x.elections[s.Key])
	},
	"Observe": func(r *runner, s script.Step) {
		ctx, cancel := r.lasting(s.Ctx)
		r.observers[s.Name] = &observer{ch: r.session(s).election(s.Key).Observe(ctx), cancel: cancel}
	},
	// Observed waits until the observer Ref sees Value; earlier values may be left out.
	"Observed": observed,
	"STM":      stm,
}

func observed(r *runner, s script.Step) {
	o := r.observers[s.Ref]
	if o == nil {
		return
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case resp, ok := <-o.ch:
			if !ok {
				r.rec.Add("closed")
				return
			}
			if len(resp.Kvs) == 1 && string(resp.Kvs[0].Value) == s.Value {
				r.out(resp, nil)
				return
			}
		case <-limit.C:
			r.rec.Add("%q is not observed", s.Value)
			return
		}
	}
}

// ended returns the error of a session's context once that is done.
func (r *runner) ended(x *session) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-x.Done():
		<-x.Ctx().Done()
		return x.Ctx().Err()
	case <-limit.C:
		return nil
	}
}

func (r *runner) owned(m *concurrency.Mutex) {
	r.rec.Add("key %q header %s", m.Key(), r.rec.Value(m.Header()))
}

func (r *runner) elected(e *concurrency.Election) {
	r.rec.Add(
		"key %q rev %s header %s",
		e.Key(),
		r.rec.Value(struct{ CreateRevision int64 }{e.Rev()}),
		r.rec.Value(e.Header()),
	)
}

func (r *runner) endSession(name string) {
	x := r.sessions[name]
	if err := x.Close(); err != nil {
		r.rec.Add("close %s: %s", name, r.err(err))
	}
}

// stm runs the operations in Then. N is the isolation, Opts[0] may have WithPrefetch. A step
// "Fail" returns an error. A step "Touch" writes a key from outside the transaction, only in the
// first try.
func stm(r *runner, s script.Step) {
	ctx, cancel := r.context(s.Ctx)
	defer cancel()
	opts := []concurrency.STMOption{
		concurrency.WithAbortContext(ctx), concurrency.WithIsolation(concurrency.Isolation(s.N)),
	}
	for _, o := range s.Opts {
		opts = append(opts, concurrency.WithPrefetch(o.S))
	}
	var seen []string
	tries := 0
	resp, err := concurrency.NewSTM(r.client(s), func(tx concurrency.STM) error {
		tries++
		seen = nil
		for _, op := range s.Then {
			switch op.Call {
			case "Get":
				seen = append(seen, fmt.Sprintf("%s=%q", op.Key, tx.Get(op.Key)))
			case "Put":
				tx.Put(op.Key, op.Value, r.options(op.Opts)...)
			case "Delete":
				tx.Del(op.Key)
			case "Rev":
				seen = append(
					seen,
					fmt.Sprintf("%s at %s", op.Key, r.rec.Value(struct{ ModRevision int64 }{tx.Rev(op.Key)})),
				)
			case "Touch":
				if tries == 1 {
					// A panic in here could not be caught.
					if err := r.srv.Put(ctx, r.prefix+op.Key, op.Value); err != nil {
						return err
					}
				}
			case "Fail":
				return errNoSuchResult
			}
		}
		return nil
	}, opts...)
	r.rec.Add("%d tries, %v", tries, seen)
	if err == nil {
		// Writes are sent in the random order of a map.
		r.rec.Add(
			"header %s, succeeded %v, %d responses",
			r.rec.Value(resp.Header),
			resp.Succeeded,
			len(resp.Responses),
		)
		return
	}
	r.out(nil, err)
}
