package leasing_test

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

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/clientv3/leasing"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// pausedProcess is the environment variable with the endpoint for the second process of this test;
// see reader.
const pausedProcess = "FAIRLEAD_TEST_LEASING_READER"

// reader is the second process: it owns the key "k" and reads it as fast as it can. It prints when
// it has begun. In the end, when it has read "new" often enough, it prints when the last read of
// "old" began.
func reader() int {
	fail := func(err error) int { fmt.Println(err); return 1 }
	cl, err := clientv3.New(clientv3.Config{Endpoints: []string{os.Getenv(pausedProcess)}, Logger: zap.NewNop()})
	if err != nil {
		return fail(err)
	}
	defer cl.Close()
	kv, closeKV, err := leasing.NewKV(cl, "L/", concurrency.WithTTL(2))
	if err != nil {
		return fail(err)
	}
	defer closeKV()
	var last time.Time
	for older, newer := 0, 0; newer < 1000; {
		began := time.Now()
		r, err := kv.Get(context.Background(), "k")
		switch {
		case err != nil:
			return fail(err)
		case string(r.Kvs[0].Value) == "new":
			newer++
		default:
			last = began
			if older++; older == 100 { // owned for long
				fmt.Println("reading")
			}
		}
	}
	fmt.Println(last.UnixNano())
	return 0
}

// TestPausedProcess: a process is stopped while it reads from memory, for longer than its TTL, and
// continues after another one has written the key. It does not read its old value.
func TestPausedProcess(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{})
	s := leased(t, c.Endpoints(), "L/")
	for round := range 2 {
		s.put(t, "k", "old")
		child := exec.CommandContext(within(t), os.Args[0])
		// On one processor the reader goes on for a while before the end of the lease is noticed.
		child.Env = append(os.Environ(), pausedProcess+"="+c.Endpoints()[0], "GOMAXPROCS=1")
		child.Stderr = os.Stderr
		stdout, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			child.Process.Kill()
			child.Wait()
		}()
		out := bufio.NewScanner(stdout)
		if !out.Scan() || out.Text() != "reading" {
			t.Fatalf("the other process says %q", out.Text())
		}
		if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s.put(t, "k", "new")
		written := time.Now()
		t.Logf("round %d: the write waited %v for a lease of 2 s", round, written.Sub(began))
		if err := child.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if !out.Scan() {
			t.Fatal("the other process said nothing")
		}
		last, err := strconv.ParseInt(strings.TrimSpace(out.Text()), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if old := time.Unix(0, last); old.After(written) {
			t.Errorf("a read that began %v after the write found the old value", old.Sub(written))
		}
	}
}
