package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/clienttest"
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
	clienttest.StorageKnown(t, clienttest.Dial(t, c.endpoint))
	r := c.run("snapshot", "save", file)
	if r.code != command.ExitOK || !strings.HasPrefix(r.out, "Snapshot saved at "+file+"\nServer version 3.7.") ||
		r.err != "" {
		t.Fatalf("%+v", r)
	}
	utl, err := etcdtest.CtlBinary("etcdutl")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"simple", "json", "fields", "table"} {
		c.sameAs(c.execute(utl, "snapshot", "status", file, "-w", f), "snapshot", "status", file, "-w", f)
	}
	c.wantFailure(command.ExitFailed, "no such file", "snapshot", "status", filepath.Join(dir, "none"))
	c.wantFailure(command.ExitFailed, "is a directory", "snapshot", "status", dir)
	c.wantFailure(command.ExitFailed, "no such file", "snapshot", "save", filepath.Join(dir, "none", "x"))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[5000] ^= 1
	damaged := filepath.Join(dir, "damaged.db")
	if err := os.WriteFile(damaged, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c.wantFailure(command.ExitFailed, "is damaged", "snapshot", "status", damaged)
	nonsense := filepath.Join(dir, "nonsense.db")
	if err := os.WriteFile(nonsense, []byte(strings.Repeat("x", 8192)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.wantFailure(command.ExitFailed, "is no snapshot", "snapshot", "status", nonsense)
}

// An interrupted save leaves no file, and an existing file unchanged.
func TestSnapshotInterrupted(t *testing.T) {
	c := shared(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "snapshot.db")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancelCause(t.Context())
	interrupt(command.InterruptedError{Signal: 2})
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

// The hash of a file is the same as etcdutl's, and as that of the member it was saved from; the
// file stays unchanged.
func TestSnapshotHashKV(t *testing.T) {
	c := shared(t)
	for i := range 20 {
		c.want("OK\n", "put", key(t, "k"), itoa(int64(i)))
	}
	c.want("1\n", "del", key(t, "k"))
	dir := t.TempDir()
	file, for3 := filepath.Join(dir, "snapshot.db"), filepath.Join(dir, "copy.db")
	if r := c.run("snapshot", "save", file); r.code != command.ExitOK {
		t.Fatalf("%+v", r)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	utl, err := etcdtest.CtlBinary("etcdutl")
	if err != nil {
		t.Fatal(err)
	}
	var h struct {
		Hash         uint32
		HashRevision int64
	}
	c.json(&h, "snapshot", "hashkv", file)
	for _, f := range []string{"simple", "json", "fields"} {
		for _, rev := range []int64{0, h.HashRevision - 10} {
			if err := os.WriteFile(for3, before, 0o600); err != nil { // etcdutl writes to it
				t.Fatal(err)
			}
			args := []string{"--rev", itoa(rev), "-w", f}
			c.sameAs(
				c.execute(utl, append([]string{"hashkv", for3}, args...)...),
				append([]string{"snapshot", "hashkv", file}, args...)...)
		}
	}
	var members []struct{ HashKV struct{ Hash uint32 } }
	c.json(&members, "endpoint", "hashkv", "--rev", itoa(h.HashRevision))
	if len(members) != 1 || members[0].HashKV.Hash != h.Hash {
		t.Errorf("the file's hash %d, the member's %+v", h.Hash, members)
	}
	after, err := os.ReadFile(file)
	left, derr := os.ReadDir(dir)
	if err != nil || derr != nil || !bytes.Equal(before, after) || len(left) != 2 {
		t.Errorf("the file changed or something is left: %v, %v, %v", left, err, derr)
	}
	c.wantFailure(command.ExitFailed, "future revision", "snapshot", "hashkv", file, "--rev", "999999999")
	c.wantFailure(command.ExitUsage, "negative", "snapshot", "hashkv", file, "--rev", "-1")
	c.wantFailure(command.ExitFailed, "no such file", "snapshot", "hashkv", filepath.Join(dir, "none"))
	for name, content := range map[string]string{
		"nonsense": strings.Repeat("x", 8192), "empty": "", "short": string(before[:5000]),
	} {
		bad := filepath.Join(dir, name)
		if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c.wantFailure(command.ExitFailed, bad, "snapshot", "hashkv", bad)
		c.wantFailure(command.ExitFailed, bad, "snapshot", "restore", bad, "--data-dir", filepath.Join(dir, "never"))
		if got, err := os.ReadFile(bad); err != nil || string(got) != content {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "never")); !os.IsNotExist(err) {
		t.Errorf("a failed restore left a directory: %v", err)
	}
}

// A cluster starts from restored directories, and has the keys of the snapshot.
func TestSnapshotRestore(t *testing.T) {
	cluster, c := threeMembers(t)
	c.want("OK\n", "put", "k", "before")
	file := filepath.Join(t.TempDir(), "snapshot.db")
	if r := c.run("snapshot", "save", file); r.code != command.ExitOK {
		t.Fatalf("%+v", r)
	}
	c.want("OK\n", "put", "k", "after")
	var members []string
	for _, m := range cluster.Members() {
		m.Kill()
		members = append(members, m.Name+"="+m.PeerURL)
	}
	for _, m := range cluster.Members() {
		args := []string{
			"snapshot", "restore", file, "--data-dir", m.DataDir, "--name", m.Name, "--initial-cluster",
			strings.Join(members, ","),
			"--initial-advertise-peer-urls", m.PeerURL, "--bump-revision", "1000", "--mark-compacted",
		}
		c.wantFailure(command.ExitFailed, "exists", args...)
		if _, err := os.Stat(filepath.Join(m.DataDir, "member")); err != nil {
			t.Fatalf("a refused restore touched the directory: %v", err)
		}
		c.wantFailure(command.ExitUsage, "--mark-compacted", args[:len(args)-1]...)
		if err := os.RemoveAll(m.DataDir); err != nil {
			t.Fatal(err)
		}
		wrong := slices.Clone(args)
		wrong[6] = "stranger"
		c.wantFailure(command.ExitFailed, "stranger", wrong...) // no member of the cluster
		if _, err := os.Stat(m.DataDir); !os.IsNotExist(err) {
			t.Fatalf("a failed restore left a directory: %v", err)
		}
		if r := c.run(args...); r.code != command.ExitOK || r.out != "Member "+m.Name+" restored in "+m.DataDir+"\n" ||
			r.err != "" {
			t.Fatalf("%+v", r)
		}
	}
	for _, m := range cluster.Members() {
		if err := m.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	c.want(lines("k", "before"), "get", "k", "--command-timeout", patience.String())
	var resp struct{ Header struct{ Revision int64 } }
	c.json(&resp, "get", "k")
	if resp.Header.Revision <= 1000 {
		t.Errorf("revision %d, want above 1000", resp.Header.Revision)
	}
	c.wantFailure(command.ExitFailed, "compacted", "watch", "k", "--rev", "1")
}

// A file that is cut off anywhere causes an error, and never a crash.
func TestSnapshotCutOff(t *testing.T) {
	c := shared(t)
	c.with(strings.Repeat("x", 300_000)).run("put", key(t, "k"))
	dir := t.TempDir()
	file := filepath.Join(dir, "snapshot.db")
	if r := c.run("snapshot", "save", file); r.code != command.ExitOK {
		t.Fatalf("%+v", r)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	for size := info.Size() - 32; size > 4096; size -= 16384 {
		if err := os.Truncate(file, size); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"status"}, {"hashkv"}, {"restore", "--data-dir", filepath.Join(dir, "never")},
		} {
			whole := size == info.Size()-32
			if whole && args[0] != "restore" { // restore needs the digest
				continue
			}
			r := c.run(append([]string{"snapshot", args[0], file}, args[1:]...)...)
			if r.code != command.ExitFailed || !whole && !strings.Contains(r.err, "is cut off") {
				t.Errorf("%d of %d bytes: %q: %+v", size, info.Size(), args, r)
			}
		}
	}
}
