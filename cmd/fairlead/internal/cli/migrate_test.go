package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMigrate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	before := "package main\n\nimport (\n\t\"github.com/go-kit/kit/sd/etcdv3\"\n\tclientv3 \"go.etcd.io/etcd/client/v3\"\n)\n\nvar (\n\t_ clientv3.KV\n\t_ etcdv3.Client\n)\n"
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &cmd{t: t}
	r := c.run("migrate", dir)
	if r.code != exitOK || !strings.Contains(r.out, "+\tclientv3 \"github.com/fairlead-go/fairlead/clientv3\"") || !strings.Contains(r.err, "2 imports in 1 of 1 Go files would change") {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != before {
		t.Errorf("without --write the file changed: %s, %v", b, err)
	}
	r = c.run("migrate", "--write", dir)
	if r.code != exitOK || r.out != "" || !strings.Contains(r.err, "fairlead/gokit@latest") {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "go.etcd.io/etcd/client") {
		t.Errorf("%s, %v", b, err)
	}
	if r = c.run("migrate", dir); !strings.Contains(r.err, "Nothing to change in 1 Go files.") {
		t.Errorf("a second time: %s", r.err)
	}
	c.wantFailure(exitUsage, "needs a directory", "migrate")
	c.wantFailure(exitFailed, "no such file", "migrate", filepath.Join(dir, "none"))
}
