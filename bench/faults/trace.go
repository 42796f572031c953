package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// trace follows every write of a run: the members it was sent to, their answers, and, after the
// run, whether the cluster has executed it. Each write has a value of its own.
type trace struct {
	mu     sync.Mutex
	writes map[string]*write // guarded by mu, by value
}

type write struct {
	key, value string
	made       time.Time
	took       time.Duration
	err        error
	attempts   []attempt
	revisions  []int64 // at which it was executed
}

type attempt struct {
	to   string // address; "" if it was not sent
	at   time.Time
	took time.Duration
	err  error
}

// option makes a client report its attempts.
func (t *trace) option() grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(
		func(
			ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker,
			opts ...grpc.CallOption,
		) error {
			put, ok := req.(*pb.PutRequest)
			if !ok {
				return next(ctx, method, req, reply, cc, opts...)
			}
			var to peer.Peer
			a := attempt{at: time.Now()}
			a.err = next(ctx, method, req, reply, cc, append(slices.Clone(opts), grpc.Peer(&to))...)
			a.took = time.Since(a.at)
			if to.Addr != nil {
				a.to = to.Addr.String()
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			if w := t.writes[string(put.Value)]; w != nil {
				w.attempts = append(w.attempts, a)
			}
			return a.err
		},
	)
}

// do is load.Mixed with tracing.
func (t *trace) do(c load.Client) func(context.Context, int) (bool, error) {
	return func(ctx context.Context, i int) (bool, error) {
		key := fmt.Sprint("load/", i%20)
		if i%2 == 0 {
			return false, c.Get(ctx, key)
		}
		w := &write{key: key, made: time.Now()}
		t.mu.Lock()
		w.value = fmt.Sprint("v", len(t.writes))
		t.writes[w.value] = w
		t.mu.Unlock()
		err := c.Put(ctx, key, w.value)
		t.mu.Lock()
		defer t.mu.Unlock()
		w.took, w.err = time.Since(w.made), err
		return true, err
	}
}

// history finds out what the cluster has executed.
func (t *trace) history(ctx context.Context, c *etcdtest.Cluster, victim *etcdtest.Member) error {
	client, err := ours.New(ours.Config{Endpoints: load.Spared(c, victim), Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer client.Close()
	now, err := client.Get(ctx, "load/", ours.WithPrefix(), ours.WithCountOnly())
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, "load/end", "end"); err != nil { // the last value that the watch reads
		return err
	}
	for r := range client.Watch(ctx, "load/", ours.WithPrefix(), ours.WithRev(1)) {
		if err := r.Err(); err != nil {
			return err
		}
		for _, e := range r.Events {
			if e.Kv.ModRevision > now.Header.Revision && string(e.Kv.Key) == "load/end" {
				return nil
			}
			t.mu.Lock()
			if w := t.writes[string(e.Kv.Value)]; w != nil {
				w.revisions = append(w.revisions, e.Kv.ModRevision)
			}
			t.mu.Unlock()
		}
	}
	return ctx.Err()
}

// fates counts how the writes of a run ended.
type fates struct {
	unsent   int // failed, and no member received it
	executed int // failed, but executed
	lost     int // failed, a member received it, and the cluster never executed it: nobody can know that in time
	twice    int // executed more than once
	late     int // executed after a later write of its key that began when this one had been answered
	unkept   int // answered, but not executed
}

func (f *fates) add(o fates) {
	f.unsent += o.unsent
	f.executed += o.executed
	f.lost += o.lost
	f.twice += o.twice
	f.late += o.late
	f.unkept += o.unkept
}

func (w *write) sent() bool {
	return slices.ContainsFunc(w.attempts, func(a attempt) bool { return a.to != "" })
}

func (t *trace) fates() (f fates) {
	keys := make(map[string][]*write)
	for _, w := range t.writes {
		keys[w.key] = append(keys[w.key], w)
		if len(w.revisions) > 1 {
			f.twice++
		}
		switch {
		case w.err == nil && len(w.revisions) == 0:
			f.unkept++
		case w.err == nil:
		case len(w.revisions) > 0:
			f.executed++
		case w.sent():
			f.lost++
		default:
			f.unsent++
		}
	}
	for _, list := range keys {
		f.late += overtaken(list)
	}
	return f
}

// overtaken counts the writes of one key that were executed after a write that began only when
// they had been answered.
func overtaken(list []*write) (n int) {
	list = slices.DeleteFunc(list, func(w *write) bool { return w.err != nil || len(w.revisions) == 0 })
	slices.SortFunc(list, func(a, b *write) int { return a.made.Compare(b.made) })
	first := make([]int64, len(list)+1) // the lowest revision from there on
	first[len(list)] = math.MaxInt64
	for i, w := range slices.Backward(list) {
		first[i] = min(first[i+1], w.revisions[0])
	}
	for _, w := range list {
		answered := w.made.Add(w.took)
		next, _ := slices.BinarySearchFunc(list, answered, func(o *write, t time.Time) int { return o.made.Compare(t) })
		if first[next] < w.revisions[len(w.revisions)-1] {
			n++
		}
	}
	return n
}

// explain prints the failed writes, and each of their attempts.
func (t *trace) explain(out io.Writer, c *etcdtest.Cluster, struck time.Time, victim, leader *etcdtest.Member) {
	var failed []*write
	for _, w := range t.writes {
		if w.err != nil {
			failed = append(failed, w)
		}
	}
	slices.SortFunc(failed, func(a, b *write) int { return a.made.Compare(b.made) })
	role := func(address string) string {
		for _, m := range c.Members() {
			if !strings.HasSuffix(m.Endpoint, address) {
				continue
			}
			switch m {
			case victim:
				return "the victim"
			case leader:
				return "who leads afterwards"
			}
			return "another one"
		}
		return address
	}
	for _, w := range failed {
		fate := "never executed"
		if len(w.revisions) > 0 {
			fate = fmt.Sprint("executed at ", w.revisions)
		}
		fmt.Fprintf(out, "  %s made %+.3f s, %s: %v\n", w.value, w.made.Sub(struck).Seconds(), fate, w.err)
		for _, a := range w.attempts {
			to := "nobody"
			if a.to != "" {
				to = role(a.to)
			}
			fmt.Fprintf(
				out,
				"    sent %+.3f s to %s, %.3f s: %v\n",
				a.at.Sub(struck).Seconds(),
				to,
				a.took.Seconds(),
				status.Convert(a.err).Message(),
			)
		}
	}
}
