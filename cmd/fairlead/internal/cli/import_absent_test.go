package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Deleted keys come back if they are absent, except those that had a lease.
func TestImportAbsent(t *testing.T) {
	c := shared(t)
	prefix := key(t, "")
	r := c.run("lease", "grant", "600")
	id, _, _ := strings.Cut(strings.TrimPrefix(r.out, "lease "), " ")
	c.run("put", prefix+"a", "1")
	c.run("put", prefix+"b", "2")
	c.run("put", prefix+"leased", "3", "--lease", id)
	r = c.run("export", prefix)
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	if err := os.WriteFile(file, []byte(r.out), 0o600); err != nil {
		t.Fatal(err)
	}
	c.want(lines("3"), "del", "--prefix", prefix)
	c.run("put", prefix+"b", "theirs")
	want := "left out, since it had a lease: " + prefix + "leased\n1 added, 0 changed, 0 deleted; 0 were there " +
		"already\n1 are there with another value and were left alone\n"
	if r := c.run("import", "--absent", file); r.code != 0 || r.err != want {
		t.Errorf("code %d, error\n%s\nwant\n%s", r.code, r.err, want)
	}
	c.want(lines(prefix+"a", "1", prefix+"b", "theirs"), "get", "--prefix", prefix)
	c.wantFailure(2, "--absent excludes", "import", "--absent", "--prune", file)
	c.wantFailure(2, "--absent excludes", "import", "--absent", "--leases", "keep", file)
}
