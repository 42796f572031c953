package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func TestWatchProgram(t *testing.T) {
	c := shared(t)
	k := key(t, "k")
	var put struct {
		Header struct{ Revision int64 }
	}
	c.json(&put, "put", k, `say "hi"`)
	rev := itoa(put.Header.Revision)
	program := []string{
		"--",
		"sh",
		"-c",
		`echo "$ETCD_WATCH_KEY $ETCD_WATCH_VALUE $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_REVISION $FAIRLEAD_WATCH_MOD_REVISION"; echo end`,
	}
	want := lines("PUT", k, `say "hi"`, `"`+k+`" "say \"hi\"" "PUT" `+rev+" "+rev, "end")
	if got := watchUntil(t, c, "end\n", append([]string{"--rev", rev, k}, program...)...); got != want {
		t.Errorf("output\n%s\nwant\n%s", got, want)
	}
	c.same("simple", "watch", "--rev", rev, k, "--", "false")
	c.wantFailure(
		command.ExitFailed,
		`command ["false"] error (exit status 1)`,
		"watch",
		"--rev",
		rev,
		k,
		"--",
		"false",
	)
	c.env = map[string]string{"ETCDCTL_WATCH_KEY": k}
	if got := watchUntil(t, c, "hi", "--rev", rev); got != lines("PUT", k, `say "hi"`) {
		t.Errorf("key from the environment: %s", got)
	}
}

func TestWatchInteractive(t *testing.T) {
	c := shared(t)
	a, b := key(t, "a"), key(t, "b")
	var put struct {
		Header struct{ Revision int64 }
	}
	c.json(&put, "put", a, "1")
	rev := itoa(put.Header.Revision)
	c.want("OK\n", "put", b, "2")
	r, w := newPipe()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var errOut clienttest.Buffer
	out := &onLine{line: lines("PUT", a, "1"), do: func() {
		w.send("nonsense\nwatch\nwatch --rev " + rev + " " + b + " -- echo ran\n")
	}}
	second := &onLine{line: "ran\n", do: w.end}
	w.send("watch --rev " + rev + " \"" + a + "\"\n")
	code := Run(ctx, command.Env{
		Args: []string{"--endpoints", c.endpoint, "watch", "-i"}, Stdin: r, Stdout: tee{out, second}, Stderr: &errOut,
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	if want := lines("PUT", a, "1", "PUT", b, "2", "ran"); code != command.ExitOK || out.String() != want {
		t.Errorf("code %d, output\n%s\nwant\n%s", code, out.String(), want)
	}
	for _, says := range []string{`"nonsense" is no command here`, "watch needs a key"} {
		if !strings.Contains(errOut.String(), says) {
			t.Errorf("error %s, want %s", errOut.String(), says)
		}
	}
}

// tee writes to both outputs.
type tee struct{ a, b *onLine }

func (t tee) Write(b []byte) (int, error) {
	if _, err := t.a.Write(b); err != nil {
		return 0, err
	}
	return t.b.Write(b)
}

// With --resume a watch survives the compaction of its undelivered changes.
func TestWatchResume(t *testing.T) {
	c := shared(t)
	p := key(t, "")
	c.want("OK\n", "put", p+"a", "1")
	c.want("OK\n", "put", p+"a", "2")
	compact(c)
	c.wantFailure(command.ExitFailed, "compacted", "watch", "--rev", "1", "--prefix", p)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				c.run("put", p+"b", "after")
			}
		}
	}()
	r := until(
		c,
		"after",
		func(_ string, interrupt func()) { interrupt() },
		"watch",
		"--resume",
		"--rev",
		"1",
		"--prefix",
		p,
	)
	close(stop)
	<-done
	if r.code != 130 || !strings.HasSuffix(r.out, lines("PUT", p+"b", "after")) ||
		!strings.HasPrefix(r.out, lines("PUT", p+"a", "2")) {
		t.Errorf("%+v", r)
	}
}
