package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// watchUntil runs watch until its output contains last, then interrupts it, and returns the output.
func watchUntil(t *testing.T, c *cmd, last string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	out := &onLine{line: last, do: func() { interrupt(command.InterruptedError{Signal: 2}) }}
	var errOut bytes.Buffer
	if code := c.runIn(ctx, out, &errOut, append([]string{"watch"}, args...)...); code != 130 || errOut.Len() > 0 {
		t.Fatalf("%q: code %d, output\n%s\nerror %s", args, code, out.String(), errOut.String())
	}
	return out.String()
}

func TestWatch(t *testing.T) {
	c := shared(t)
	p := key(t, "")
	var put struct {
		Header struct{ Revision int64 }
	}
	c.json(&put, "put", p+"a", "1")
	rev := itoa(put.Header.Revision)
	c.want("OK\n", "put", p+"a", "2")
	c.want("OK\n", "put", p+"b", "3")
	c.want("1\n", "del", p+"a")
	c.want("OK\n", "put", p+"end", "")
	a, b, end := p+"a", p+"b", p+"end"

	if got, want := watchUntil(t, c, end, "--prefix", "--rev", rev, p),
		lines("PUT", a, "1", "PUT", a, "2", "PUT", b, "3", "DELETE", a, "", "PUT", end, ""); got != want {
		t.Errorf("prefix:\n%s\nwant\n%s", got, want)
	}
	if got, want := watchUntil(t, c, "DELETE\n"+a+"\n2\n"+a, "--prev-kv", "--rev", rev, a),
		lines("PUT", a, "1", "PUT", a, "1", a, "2", "DELETE", a, "2", a, ""); got != want {
		t.Errorf("with the pairs before:\n%s\nwant\n%s", got, want)
	}
	got, want := watchUntil(t, c, "DELETE", "--rev", rev, a, b), lines("PUT", a, "1", "PUT", a, "2", "DELETE", a, "")
	if got != want {
		t.Errorf("range:\n%s\nwant\n%s", got, want)
	}
	table := watchUntil(t, c, "DELETE", "--rev", rev, a, "-o", "table")
	if !strings.HasPrefix(table, "REVISION    TYPE    KEY") || strings.Count(table, "\n") != 4 {
		t.Errorf("table:\n%s", table)
	}
	var events int
	for line := range strings.Lines(watchUntil(t, c, `"type":1`, "--rev", rev, a, "-o", "json")) {
		var resp struct{ Events []any }
		if err := json.Unmarshal([]byte(line), &resp); err != nil {
			t.Errorf("%v in %s", err, line)
		}
		events += len(resp.Events)
	}
	if events != 3 {
		t.Errorf("%d events in JSON, want 3", events)
	}
}

// A watch from now on sees later changes, and only those.
func TestWatchFromNow(t *testing.T) {
	c := shared(t)
	k := key(t, "k")
	c.want("OK\n", "put", k, "before")
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				c.run("put", k, "after")
			}
		}
	}()
	got := watchUntil(t, c, "after", k)
	close(stop)
	<-done
	if strings.Contains(got, "before") || !strings.HasPrefix(got, lines("PUT", k, "after")) {
		t.Errorf("output:\n%s", got)
	}
}

func TestWatchCompacted(t *testing.T) {
	c := shared(t)
	k := key(t, "k")
	c.want("OK\n", "put", k, "1")
	c.want("OK\n", "put", k, "2")
	compact(c)
	c.wantFailure(command.ExitFailed, "compacted", "watch", "--rev", "1", k)
}

// A resuming watch from a compacted revision prints the present keys, which is all that it may have
// missed, and goes on.
func TestWatchResumeCompacted(t *testing.T) {
	c := shared(t)
	p := key(t, "")
	c.want("OK\n", "put", p+"gone", "")
	c.want("OK\n", "put", p+"a", "1")
	c.want("OK\n", "put", p+"b", "2")
	c.want("1\n", "del", p+"gone")
	compact(c)
	for _, rev := range []string{"1", "2", "3"} {
		ctx, interrupt := context.WithCancelCause(t.Context())
		next := &onLine{line: "PUT\n" + p + "z\n" + rev, do: func() { interrupt(command.InterruptedError{Signal: 2}) }}
		first := &onLine{line: "PUT\n" + p + "b\n2\n", do: func() { c.run("put", p+"z", rev) }}
		var errOut bytes.Buffer
		code := c.runIn(ctx, io.MultiWriter(next, first), &errOut, "watch", "--resume", "--prefix", p, "--rev", rev)
		got := next.String()
		if want := lines("PUT", p+"a", "1", "PUT", p+"b", "2", "PUT", p+"z", rev); code != 130 || got != want ||
			!strings.Contains(errOut.String(), "compacted") {
			t.Errorf("from %s: code %d, output\n%s\nerror %s", rev, code, got, errOut.String())
		}
		interrupt(nil)
		c.run("del", p+"z")
	}
}
