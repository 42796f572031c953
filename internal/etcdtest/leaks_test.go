package etcdtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The tests below need a second test binary that fails, hangs or is killed. They run this one
// again, with a variable that chooses what TestHelper does.
const helperEnv = "FAIRLEAD_ETCDTEST_HELPER"

func TestHelper(t *testing.T) {
	switch os.Getenv(helperEnv) {
	case "leak":
		CheckLeaks(t)
		go leakForever()
	case "leak-main":
		go leakForever()
	case "cluster":
		c := Start(t, Options{Members: 2})
		c.Members()[1].Freeze()
		fmt.Printf("started %d %d %s\n", c.Members()[0].PID(), c.Members()[1].PID(), c.dir)
		select {}
	case "fail":
		Start(t, Options{})
		t.Error("as asked")
	}
}

//go:noinline
func leakForever() { select {} }

func helper(t *testing.T, mode string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelper$", "-test.v")
	cmd.Env = append(os.Environ(), helperEnv+"="+mode)
	return cmd
}

func TestLeaksAreFound(t *testing.T) {
	var wg sync.WaitGroup
	for _, mode := range []string{"leak", "leak-main"} {
		wg.Go(func() {
			out, err := helper(t, mode).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "leakForever") {
				t.Errorf("%s: %v\n%s", mode, err, out)
			}
		})
	}
	wg.Wait()
}

func TestFailureShowsTheLog(t *testing.T) {
	out, err := helper(t, "fail").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "last lines of m0's log") {
		t.Errorf("%v\n%s", err, out)
	}
}

// When a test binary is killed, its servers end with it, frozen ones too, and the next test binary
// removes its directories.
func TestKilledTestLeavesNothing(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		cmd := helper(t, "cluster")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var pid0, pid1 int
		var dir string
		for pid1 == 0 {
			var word string
			if _, err := fmt.Fscan(out, &word); err != nil {
				t.Fatal(err)
			}
			if word == "started" {
				if _, err := fmt.Fscan(out, &pid0, &pid1, &dir); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd.Process.Signal(sig)
		cmd.Wait()
		err = poll(within(t, readyTimeout), func(context.Context) error {
			for _, pid := range []int{pid0, pid1} {
				if runs(pid) {
					return fmt.Errorf("server %d outlived its test after %v", pid, sig)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		_, remove, err := workDir()
		if err != nil {
			t.Fatal(err)
		}
		remove()
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s was not swept", dir)
		}
	}
}

// runs reports whether a process exists and is not a zombie.
func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
