package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestExportImport(t *testing.T) {
	c := shared(t)
	from, to := key(t, "from/"), key(t, "to/")
	for i := range 3 {
		c.run("put", fmt.Sprint(from, i), fmt.Sprint("value ", i))
	}
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	c.want("", "export", from, "--file", file)
	r := c.run("export", from)
	saved, err := os.ReadFile(file)
	if err != nil || r.code != command.ExitOK || strings.Count(r.out, "\n") != 5 ||
		strings.Count(string(saved), "\n") != 5 {
		t.Fatalf("code %d, output\n%s\nfile\n%s, %v", r.code, r.out, saved, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	c.run("put", to+"1", "old")
	c.run("put", to+"9", "old")
	r = c.run("import", "--dry-run", "--prune", "--to", to, file)
	if want := lines("+ "+to+"0", "~ "+to+"1", "+ "+to+"2", "- "+to+"9"); r.code != command.ExitOK || r.out != want ||
		!strings.Contains(r.err, "would be 2 added, 1 changed, 1 deleted; 0 were there already") {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	var errOut strings.Builder
	code := c.runIn(t.Context(), brokenPipe{}, &errOut, "import", "--dry-run", "--to", to, file)
	if code != command.ExitClosedPipe || errOut.Len() > 0 {
		t.Errorf("into a closed pipe: code %d, %s", code, errOut.String())
	}
	c.want(lines(to+"1", "", to+"9", ""), "get", "--prefix", "--keys-only", to)
	if r := c.with(string(saved)).run("import", "--prune", "--to", to, "-"); r.code != command.ExitOK || r.out != "" {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	c.want("", "diff", from, to)
	r = c.run("import", "--to", to, file)
	if !strings.Contains(r.err, "0 added, 0 changed, 0 deleted; 3 were there already") {
		t.Errorf("again: %s", r.err)
	}
	if err := os.WriteFile(file, saved[:len(saved)-30], 0o600); err != nil {
		t.Fatal(err)
	}
	c.wantFailure(command.ExitFailed, "line 4: ", "import", "--to", key(t, "broken/"), file)
	c.want("", "get", "--prefix", key(t, "broken/"))
	c.wantFailure(command.ExitFailed, "no such file", "import", file+"x")
	c.wantFailure(command.ExitUsage, "keep or drop", "import", "--leases", "some", file)
	c.wantFailure(command.ExitUsage, "needs a prefix", "export")
	device := filepath.Join(t.TempDir(), "stdout") // as /dev/stdout is one
	if err := os.Symlink(os.DevNull, device); err != nil {
		t.Fatal(err)
	}
	c.wantFailure(command.ExitUsage, "not a regular file", "export", from, "--file", device)
	c.wantFailure(command.ExitFailed, "not a regular file", "snapshot", "save", device)
	if info, err := os.Lstat(device); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the device was replaced: %v, %v", info, err)
	}
	c.wantFailure(command.ExitFailed, "", "export", from, "--rev", "999999999", "--file", file+"y")
	if _, err := os.Stat(file + "y"); err == nil {
		t.Error("a failed export has left a file")
	}
}

func TestDiff(t *testing.T) {
	c := shared(t)
	a, b := key(t, "a/"), key(t, "b/")
	for _, kv := range [][2]string{{a + "1", "x"}, {a + "2", "x"}, {b + "2", "y"}, {b + "3", "y"}} {
		c.run("put", kv[0], kv[1])
	}
	want := func(code int, out string, args ...string) {
		t.Helper()
		if r := c.run(args...); r.code != code || r.out != out || r.err != "" {
			t.Errorf("%q: code %d, output\n%s\nerror\n%s\nwant\n%s", args, r.code, r.out, r.err, out)
		}
	}
	want(command.ExitFailed, lines("- 1", "~ 2", "+ 3"), "diff", a, b)
	want(command.ExitFailed, lines("1 added, 1 removed, 1 changed"), "diff", "--count-only", a, b)
	want(command.ExitFailed, lines("- 1", "  - x", "~ 2", "  - x", "  + y", "+ 3", "  + y"), "diff", "--values", a, b)
	want(
		command.ExitFailed,
		lines(`{"kind":"removed","key":"1"}`, `{"kind":"changed","key":"2"}`, `{"kind":"added","key":"3"}`),
		"diff",
		"-w",
		"json",
		a,
		b,
	)
	want(command.ExitOK, "", "diff", a, a, "--other-rev", "0")
	other := etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]
	want(command.ExitFailed, lines("- 1", "- 2"), "diff", a, "--other-endpoints", other)
	c.wantFailure(command.ExitUsage, "nothing to compare with", "diff", a)
	c.wantFailure(
		command.ExitUnreachable,
		"the other cluster",
		"diff",
		a,
		"--other-endpoints",
		"127.0.0.1:1",
		"--dial-timeout",
		"300ms",
	)
}
