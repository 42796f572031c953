package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func TestMigrate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	before := "package main\n\nimport (\n\t\"github.com/go-kit/kit/sd/etcdv3\"\n\tclientv3 " +
		"\"go.etcd.io/etcd/client/v3\"\n)\n\nvar (\n\t_ clientv3.KV\n\t_ etcdv3.Client\n)\n"
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &cmd{t: t}
	r := c.run("migrate", dir)
	if r.code != command.ExitOK ||
		!strings.Contains(r.out, "+\tclientv3 \"github.com/fairlead-go/fairlead/clientv3\"") ||
		!strings.Contains(r.err, "2 imports in 1 of 1 Go files would change") {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != before {
		t.Errorf("without --write the file changed: %s, %v", b, err)
	}
	r = c.run("migrate", "--write", dir)
	if r.code != command.ExitOK || r.out != "" || !strings.Contains(r.err, "fairlead/adapters/gokit@latest") {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "go.etcd.io/etcd/client") {
		t.Errorf("%s, %v", b, err)
	}
	if r = c.run("migrate", dir); !strings.Contains(r.err, "Nothing to change in 1 Go files.") {
		t.Errorf("a second time: %s", r.err)
	}
	c.wantFailure(command.ExitUsage, "needs a directory", "migrate")
	c.wantFailure(command.ExitFailed, "no such file", "migrate", filepath.Join(dir, "none"))
}

func TestMigrateReplace(t *testing.T) {
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := "module example.com/program\n\ngo 1.25.0\n\nrequire go.etcd.io/etcd/client/v3 v3.6.16\n"
	write("go.mod", before)
	write("main.go", "package main\n\nimport _ \"go.etcd.io/etcd/client/v3\"\n\nfunc main() {}\n")
	c := &cmd{t: t}
	r := c.run("migrate", "--replace", "--checkout", root, dir)
	if r.code != command.ExitOK || !strings.Contains(r.out, "+replace go.etcd.io/etcd/client/v3 => "+root+"/dropin") ||
		!strings.Contains(r.err, "asks for Go 1.26") || !strings.Contains(r.err, "would change; --write changes them") {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err != nil || string(b) != before {
		t.Errorf("without --write go.mod changed: %s, %v", b, err)
	}
	r = c.run("migrate", "--replace", "--checkout", root, "--write", dir)
	if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err != nil || r.code != command.ExitOK || r.out != "" ||
		!strings.Contains(r.err, "Changed: ") ||
		!strings.Contains(string(b), "=> "+root) {
		t.Errorf("code %d, error\n%s\ngo.mod\n%s%v", r.code, r.err, b, err)
	}
	if r = c.run("migrate", "--replace", "--checkout", root, dir); r.code != command.ExitOK ||
		!strings.Contains(r.err, "Nothing to change.") {
		t.Errorf("a second time: %s", r.err)
	}
	c.wantFailure(command.ExitUsage, "use them with it", "migrate", "--checkout", root, dir)
	c.wantFailure(
		command.ExitUsage,
		"exclude each other",
		"migrate",
		"--replace",
		"--checkout",
		root,
		"--version",
		"v3.1.0",
		dir,
	)
	c.wantFailure(command.ExitFailed, "has no go.mod", "migrate", "--replace", t.TempDir())
}
