package clientv3_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// stoppedEndpoint is the variable that makes the test's binary the program that is stopped.
const stoppedEndpoint = "FAIRLEAD_TEST_STOPPED_ENDPOINT"

const stoppedTTL = 3 * time.Second

func init() {
	if e := os.Getenv(stoppedEndpoint); e != "" {
		if err := keepUntilLost(e); err != nil {
			fmt.Println("error", err)
		}
		os.Exit(0)
	}
}

// keepUntilLost is the program: it keeps a lease and says so until it learns of the loss.
func keepUntilLost(endpoint string) error {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	g, err := c.Grant(ctx, int64(stoppedTTL.Seconds()))
	if err != nil {
		return err
	}
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		return err
	}
	fmt.Println("lease", int64(g.ID))
	for r := range ch {
		// The renewal may be old, if the process was stopped since. So ask how long the lease
		// holds.
		if until, ok := clientv3.LeaseValidUntil(c, g.ID); ok && time.Until(until) > 0 {
			fmt.Println("renewed", r.TTL)
		}
	}
	fmt.Println("lost")
	return ctx.Err()
}

// stopped is the running program.
type stopped struct {
	cmd   *exec.Cmd
	lines chan string
	lease clientv3.LeaseID
}

func startStopped(t *testing.T, endpoint string) *stopped {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &stopped{cmd: exec.Command(exe), lines: make(chan string, 1000)}
	p.cmd.Env = append(os.Environ(), stoppedEndpoint+"="+endpoint)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill() // it may have ended
		<-read
		p.cmd.Wait()
	})
	id, err := strconv.ParseInt(strings.TrimPrefix(p.await(t, "lease "), "lease "), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	p.lease = clientv3.LeaseID(id)
	p.await(t, "renewed")
	return p
}

// await returns the next line that begins so.
func (p *stopped) await(t *testing.T, prefix string) string {
	t.Helper()
	limit := time.After(long)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok || strings.HasPrefix(line, "error") {
				t.Fatalf("waiting for %q: %q", prefix, line)
			}
			if strings.HasPrefix(line, prefix) {
				return line
			}
		case <-limit:
			t.Fatalf("no line %q", prefix)
		}
	}
}

// stop stops the process while f runs.
func (p *stopped) stop(t *testing.T, f func()) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// TestLeaseOfStoppedProcess: a process that is stopped for less than the TTL keeps its lease,
// however often that happens. One that is stopped until the lease has expired learns of that at
// once, and never claims the lease before it does.
func TestLeaseOfStoppedProcess(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, 2*long)
	ttl := func(id clientv3.LeaseID) int64 {
		t.Helper()
		r, err := c.TimeToLive(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return r.TTL
	}

	p := startStopped(t, cl.Endpoints()[0])
	for range 3 {
		p.await(t, "renewed")                            // so that most of the TTL is left
		p.stop(t, func() { time.Sleep(stoppedTTL / 2) }) // the fault itself, not a condition to wait for
		p.await(t, "renewed")
		if ttl(p.lease) < 0 {
			t.Fatal("lost after half a TTL")
		}
	}

	p.await(t, "renewed")
	p.stop(t, func() {
		await(t, "the lease expires", func() bool { return ttl(p.lease) < 0 })
		for len(p.lines) > 0 { // from before it was stopped
			<-p.lines
		}
	})
	began := time.Now()
	if line, ok := <-p.lines; !ok || line != "lost" {
		t.Errorf("after it was stopped for too long it said %q first", line)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("it learned of the loss after %v", d)
	}
}
