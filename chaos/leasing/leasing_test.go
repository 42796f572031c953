package leasing

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"

	"github.com/fairlead-go/fairlead/chaos/check"
	"github.com/fairlead-go/fairlead/chaos/history"
)

func TestMain(m *testing.M) {
	if args := os.Getenv(childEnv); args != "" {
		if err := child(strings.Fields(args)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	etcdtest.Main(m)
}

const (
	inside   = 4 // workers in this process
	outside  = 2 // workers in processes of their own
	checkFor = 30 * time.Second
)

// process is a worker in a process of its own.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startProcess(t *testing.T, id int, start time.Time, endpoints []string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.cmd.Env = append(
		os.Environ(),
		fmt.Sprintf("%s=%d %d %s", childEnv, id, start.UnixNano(), strings.Join(endpoints, " ")),
	)
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	if line, err := p.out.ReadString('\n'); line != "running\n" {
		t.Fatalf("a worker's process says %q, %v", line, err)
	}
	return p
}

// stop stops the process in the middle of its reads.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p.in, "hurry\n"); err != nil {
		t.Error(err)
	}
	pause(t.Context(), 200*time.Millisecond)
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Error(err)
	}
}

func (p *process) goOn(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Error(err)
	}
}

// end ends the process and returns what it did.
func (p *process) end(t *testing.T) (r report) {
	t.Helper()
	if _, err := io.WriteString(p.in, "end\n"); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(p.out).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// link is the network between one worker and all members.
type link []*faultnet.Proxy

func newLink(t *testing.T, c *etcdtest.Cluster) (l link, endpoints []string) {
	t.Helper()
	for _, m := range c.Members() {
		p, err := faultnet.New(m.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		l = append(l, p)
		endpoints = append(endpoints, p.Addr())
	}
	return l, endpoints
}

func (l link) blackHole(dirs ...faultnet.Direction) {
	for _, p := range l {
		p.BlackHole(dirs...)
	}
}

func (l link) heal(t *testing.T) {
	t.Helper()
	for _, p := range l {
		if err := p.Heal(); err != nil {
			t.Error(err)
		}
	}
}

// TestLinearizable: whatever is done to members, networks and processes, no read finds a value
// that a write had replaced before the read began.
func TestLinearizable(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	start := time.Now()
	var (
		workers []*worker
		links   []link
		procs   []*process
	)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, inside)
	for i := range inside {
		l, endpoints := newLink(t, c)
		w, closeWorker, err := open(i, start, endpoints)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(closeWorker)
		links, workers = append(links, l), append(workers, w)
		go func() { w.run(ctx); done <- struct{}{} }()
	}
	for i := range outside {
		procs = append(procs, startProcess(t, inside+i, start, c.Endpoints()))
	}
	sweeper, closeSweeper, err := open(inside+outside, start, c.Endpoints())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeSweeper)
	harm(t, c, links, procs, func() {
		swept := make(chan struct{})
		go func() { sweeper.sweep(ctx); close(swept) }()
		pause(ctx, longer)
		<-swept
	})
	cancel()
	for range workers {
		<-done
	}
	var ops []history.Op
	local := 0
	for _, w := range append(workers, sweeper) {
		ops = append(append(ops, w.ops[0]...), w.ops[1]...)
		local += w.local
	}
	for _, p := range procs {
		r := p.end(t)
		ops = append(ops, r.Ops...)
		local += r.Local
	}
	end := time.Since(start)

	count := make(map[string]int)
	for i := range ops {
		count[string(ops[i].Kind)+" "+string(ops[i].Outcome)]++
	}
	t.Logf("%v in %v; %d reads from memory", count, end, local)
	if n := count["get ok"]; local < 100 { // a key has one owner, and is often written
		t.Errorf("only %d of %d reads were answered from memory: nothing was tested", local, n)
	}
	if count["put ok"] == 0 || count["cas ok"] == 0 || count["delete ok"] == 0 {
		t.Error("writes are missing")
	}
	for _, v := range check.Linear(ops, truth(t, c), keyPrefix, end, checkFor) {
		t.Error(v)
	}
}

// longer is how long each trouble lasts: long enough for the leases of its victims to expire and
// for their keys to be written.
const longer = ttl + 1500*time.Millisecond

// harm does one thing after the other. wait takes longer, and all keys are written meanwhile.
func harm(t *testing.T, c *etcdtest.Cluster, links []link, procs []*process, wait func()) {
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	pause(t.Context(), 1500*time.Millisecond)

	// A client that can neither send nor receive, one whose requests arrive but whose answers do
	// not, and a stopped process.
	links[0].blackHole()
	links[1].blackHole(faultnet.ToClient)
	procs[0].stop(t)
	wait()
	procs[0].goOn(t)
	links[0].heal(t)
	links[1].heal(t)
	pause(t.Context(), time.Second)

	// The leader is frozen and thawed while a process is stopped.
	leader := c.Leader(t)
	procs[1].stop(t)
	do(leader.Freeze())
	wait()
	do(leader.Thaw())
	pause(t.Context(), time.Second)
	procs[1].goOn(t)

	// All at once.
	follower := c.Followers(t)[0]
	procs[0].stop(t)
	links[2].blackHole(faultnet.ToServer)
	do(follower.Freeze())
	wait()
	do(follower.Thaw())
	procs[0].goOn(t)
	links[2].heal(t)
	pause(t.Context(), 1500*time.Millisecond)
}

// truth is everything that the cluster has committed by the end.
func truth(t *testing.T, c *etcdtest.Cluster) *history.Truth {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.WaitHealthy(ctx); err != nil {
		t.Fatal(err)
	}
	cl, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	last, err := cl.Put(ctx, "last", "")
	if err != nil {
		t.Fatal(err)
	}
	h := &history.Truth{First: 2, Last: last.Header.Revision}
	for r := range cl.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(h.First)) {
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Events {
			h.Events = append(h.Events, history.Event{
				Key: string(e.Kv.Key), Value: string(e.Kv.Value), Rev: e.Kv.ModRevision,
				Delete: e.Type == clientv3.EventTypeDelete, Lease: e.Kv.Lease,
			})
		}
		if r.Header.Revision >= h.Last {
			return h
		}
	}
	t.Fatal("the watch ended")
	return nil
}
