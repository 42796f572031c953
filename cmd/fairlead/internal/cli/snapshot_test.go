package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestSnapshot(t *testing.T) {
	c := shared(t)
	for _, k := range []string{"a", "b", "c"} {
		c.want("OK\n", "put", key(t, k), "v")
	}
	c.want("1\n", "del", key(t, "b"))
	dir := t.TempDir()
	file := filepath.Join(dir, "snapshot.db")
	r := c.run("snapshot", "save", file)
	if r.code != exitOK || !strings.HasPrefix(r.out, "Snapshot saved at "+file+"\nServer version 3.7.") || r.err != "" {
		t.Fatalf("%+v", r)
	}
	utl, err := etcdtest.CtlBinary("etcdutl")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"simple", "json", "fields", "table"} {
		c.sameAs(c.execute(utl, "snapshot", "status", file, "-w", f), "snapshot", "status", file, "-w", f)
	}
	c.wantFailure(exitFailed, "no such file", "snapshot", "status", filepath.Join(dir, "none"))
	c.wantFailure(exitFailed, "is a directory", "snapshot", "status", dir)
	c.wantFailure(exitFailed, "no such file", "snapshot", "save", filepath.Join(dir, "none", "x"))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[5000] ^= 1
	damaged := filepath.Join(dir, "damaged.db")
	if err := os.WriteFile(damaged, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c.wantFailure(exitFailed, "is damaged", "snapshot", "status", damaged)
	nonsense := filepath.Join(dir, "nonsense.db")
	if err := os.WriteFile(nonsense, []byte(strings.Repeat("x", 8192)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.wantFailure(exitFailed, "is no snapshot", "snapshot", "status", nonsense)
}

// An interrupted save leaves nothing, and what was there before as it was.
func TestSnapshotInterrupted(t *testing.T) {
	c := shared(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "snapshot.db")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancelCause(t.Context())
	interrupt(interruptedError{2})
	var out, errOut bytes.Buffer
	if code := c.runIn(ctx, &out, &errOut, "snapshot", "save", file); code != 130 || out.Len() > 0 {
		t.Errorf("code %d, %s%s", code, &out, &errOut)
	}
	text, err := os.ReadFile(file)
	left, derr := os.ReadDir(dir)
	if err != nil || derr != nil || string(text) != "before" || len(left) != 1 {
		t.Errorf("file %q, directory %v, %v, %v", text, left, err, derr)
	}
}
