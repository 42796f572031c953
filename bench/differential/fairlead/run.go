// Code generated from package official. DO NOT EDIT.

// Package fairlead executes programs with our client.
package fairlead

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
	"github.com/fairlead-go/fairlead/bench/differential/server"
)

const (
	// ample is the deadline of a call whose context should not end: far longer than any answer
	// takes, and longer than servers without a quorum need to give up.
	ample = 20 * time.Second
	// patience is how long to wait for what must come on a channel.
	patience = 5 * time.Second
	// longest bounds a program: its contexts end then.
	longest = 40 * time.Second
)

// Side executes programs.
type Side struct {
	// Wrap changes each new client; it is for tests of the comparison.
	Wrap func(*clientv3.Client)
}

// Run executes a program on a server whose revision is base.
func (side Side) Run(srv *server.Server, p script.Program, base int64) report.Report {
	r := &runner{
		side: side, srv: srv, base: base, config: p.Config, rec: report.New(base, p.Revisions),
		wrapped: len(p.Stack) > 0, ample: ample,
		clients: make(map[string]*clientv3.Client), leases: make(map[string]clientv3.LeaseID),
		keeps: make(map[string]*keep), watches: make(map[string]*watch),
		sessions: make(map[string]*session), observers: make(map[string]*observer),
	}
	if slices.ContainsFunc(p.Stack, func(l script.Layer) bool { return l.Kind == "leasing" }) {
		r.ample = patience // some calls of the official leasing client never return
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	r.ctx = ctx
	done := make(chan report.Report, 1)
	go func() {
		r.run(p)
		done <- r.rec.Report()
	}()
	select {
	case seen := <-done:
		return seen
	case <-ctx.Done():
	}
	r.rec.Add("hangs")
	seen := r.rec.Report()
	// Wait for its end: it must not write into the next program's store.
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	}
	return seen
}

// runner executes one program. Only its own goroutine uses it.
type runner struct {
	ctx     context.Context // of the program
	side    Side
	srv     *server.Server
	base    int64
	config  script.Config
	prefix  string // what the namespaces of the stack put before keys
	wrapped bool   // there is a stack
	ample   time.Duration
	rec     *report.Recorder

	// The results of steps, by name.
	clients   map[string]*clientv3.Client
	leases    map[string]clientv3.LeaseID
	keeps     map[string]*keep
	watches   map[string]*watch
	sessions  map[string]*session
	observers map[string]*observer

	closers []func() // of wrappers
}

// call executes a step.
type call func(*runner, script.Step)

var calls = merge(kvCalls, leaseCalls, watchCalls, authCalls, clusterCalls, clientCalls, lockCalls)

func merge(tables ...map[string]call) map[string]call {
	all := make(map[string]call)
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

func (r *runner) run(p script.Program) {
	r.rec.Step()
	if err := r.open("", p.Config.User, p.Config.Password); err != nil {
		r.rec.Add("New: %s", r.err(err))
		return
	}
	if err := r.wrap(r.clients[""], p.Stack); err != nil {
		r.rec.Add("wrap: %s", r.err(err))
	}
	for i, s := range p.Steps {
		if r.ctx.Err() != nil {
			break
		}
		if i > 0 {
			r.rec.Step()
		}
		r.step(s)
	}
	r.rec.Step()
	if r.ctx.Err() == nil {
		r.results()
	}
	r.finish()
}

// caught records a panic: the program sees it like any other result.
func (r *runner) caught() {
	if p := recover(); p != nil {
		r.rec.Add("panic: %v", p)
	}
}

// step executes one step.
func (r *runner) step(s script.Step) {
	defer r.caught()
	do := calls[s.Call]
	if do == nil {
		r.rec.Add("no call is named %s", s.Call)
		return
	}
	do(r, s)
}

// results ends watches and keep-alives, and records what still comes on their channels.
func (r *runner) results() {
	defer r.caught()
	if r.srv.Frozen {
		if err := r.srv.Fault("thaw"); err != nil {
			panic(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.watches)) {
		r.rec.Add("%s:", name)
		r.endWatch(r.watches[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.keeps)) {
		r.endKeep(name)
	}
}

// finish closes everything that the program left open.
func (r *runner) finish() {
	defer r.caught()
	for _, name := range slices.Sorted(maps.Keys(r.observers)) {
		r.observers[name].cancel()
	}
	for _, name := range slices.Sorted(maps.Keys(r.sessions)) {
		r.endSession(name)
	}
	for _, end := range slices.Backward(r.closers) {
		end()
	}
	for _, name := range slices.Sorted(maps.Keys(r.clients)) {
		if err := r.clients[name].Close(); err != nil {
			r.rec.Add("close %q: %s", name, r.err(err))
		}
	}
}

// open makes a client.
func (r *runner) open(name, user, password string) error {
	cfg := clientv3.Config{
		Endpoints: r.srv.Endpoints(r.config.AllEndpoints), DialTimeout: patience, Logger: zap.NewNop(),
		Username: user, Password: password, MaxUnaryRetries: r.config.Retries,
		MaxCallSendMsgSize: r.config.SendMax, MaxCallRecvMsgSize: r.config.RecvMax,
	}
	c, err := clientv3.New(cfg)
	if err != nil {
		return err
	}
	if r.side.Wrap != nil {
		r.side.Wrap(c)
	}
	r.clients[name] = c
	return nil
}

var errNoSuchResult = errors.New("no former step has made it")

// client returns the client that a step is called on.
func (r *runner) client(s script.Step) *clientv3.Client {
	c := r.clients[s.On]
	if c == nil {
		panic(fmt.Sprintf("%s: %v", s.On, errNoSuchResult))
	}
	return c
}

// context makes the context of one call.
func (r *runner) context(c script.Context) (context.Context, context.CancelFunc) {
	return r.within(c, r.ample)
}

// lasting makes a context that lives until the program ends it, for watches and the like.
func (r *runner) lasting(c script.Context) (context.Context, context.CancelFunc) {
	return r.within(c, time.Hour)
}

func (r *runner) within(c script.Context, otherwise time.Duration) (context.Context, context.CancelFunc) {
	ctx := r.ctx
	if c.RequireLeader {
		ctx = clientv3.WithRequireLeader(ctx)
	}
	switch c.Kind {
	case "cancelled":
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, cancel
	case "expired":
		return context.WithDeadline(ctx, time.Now().Add(-time.Second))
	case "timeout":
		return context.WithTimeout(ctx, c.After)
	case "cancel":
		ctx, cancel := context.WithCancel(ctx)
		t := time.AfterFunc(c.After, cancel)
		return ctx, func() { t.Stop(); cancel() }
	}
	return context.WithTimeout(ctx, otherwise)
}

// out records what a call returned.
func (r *runner) out(resp any, err error) {
	if err != nil {
		r.rec.Add("%s", r.err(err))
		return
	}
	r.rec.Add("%s", r.rec.Value(resp))
}

func (r *runner) err(err error) string {
	var halted clientv3.ErrKeepAliveHalted
	if errors.As(err, &halted) {
		return "keepalive halted: " + r.err(halted.Reason)
	}
	text := r.rec.Error(err, named)
	if err != nil && clientv3.IsConnCanceled(err) {
		text += ", IsConnCanceled"
	}
	return text
}
