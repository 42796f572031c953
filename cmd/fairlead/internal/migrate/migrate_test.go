package migrate

import (
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write names.txt anew")

const root = "../../../.." // the repository's root

// TestNames keeps the list of what our packages export current: go test -run Names -update.
func TestNames(t *testing.T) {
	var lines []string
	for _, tree := range []string{"clientv3", "adapters/gokit/sd/etcdv3", "adapters/kratos/etcd"} {
		err := filepath.WalkDir(filepath.Join(root, tree), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if d.Name() == "internal" || d.Name() == "testdata" {
				return filepath.SkipDir
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if list := exportsOf(t, path); len(list) > 0 {
				lines = append(lines,
					"github.com/fairlead-go/fairlead/"+filepath.ToSlash(rel)+" "+strings.Join(list, " "))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(lines)
	text := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile("names.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != namesText {
		t.Error("names.txt is not current: run go test -run Names -update")
	}
}

// exportsOf lists the exported names in the files of a directory.
func exportsOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	set := make(map[string]bool)
	add := func(ids ...*ast.Ident) {
		for _, id := range ids {
			if id.IsExported() {
				set[id.Name] = true
			}
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						add(s.Name)
					case *ast.ValueSpec:
						add(s.Names...)
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func TestTranslate(t *testing.T) {
	const ours = "github.com/fairlead-go/fairlead/"
	for old, want := range map[string]string{
		"go.etcd.io/etcd/client/v3":                            ours + "clientv3",
		"go.etcd.io/etcd/client/v3/concurrency":                ours + "clientv3/concurrency",
		"go.etcd.io/etcd/client/v3/naming/resolver":            ours + "clientv3/naming/resolver",
		"go.etcd.io/etcd/client/v3x":                           "",
		"go.etcd.io/etcd/client/v2":                            "",
		"go.etcd.io/etcd/client/pkg/v3/transport":              "",
		"go.etcd.io/etcd/api/v3/mvccpb":                        "",
		"go.etcd.io/etcd/server/v3/embed":                      "",
		"go.etcd.io/etcd/clientv3":                             ours + "clientv3",
		"github.com/coreos/etcd/clientv3/concurrency":          ours + "clientv3/concurrency",
		"github.com/coreos/etcd/etcdserver/api/v3rpc/rpctypes": "go.etcd.io/etcd/api/v3/v3rpc/rpctypes",
		"go.etcd.io/etcd/mvcc/mvccpb":                          "go.etcd.io/etcd/api/v3/mvccpb",
		"go.etcd.io/etcd/contrib/recipes":                      ours + "clientv3/experimental/recipes",
		"github.com/coreos/etcd/client":                        "",
		"github.com/go-kit/kit/sd/etcdv3":                      ours + "adapters/gokit/sd/etcdv3",
		"github.com/go-kit/kit/sd/etcd":                        "",
		"github.com/go-kratos/kratos/contrib/registry/etcd/v2": ours + "adapters/kratos/etcd",
		"github.com/go-kratos/kratos/v2/registry":              "",
		"go.etcd.io/etcd/clientv3/integration":                 "",
	} {
		if got, _ := translate(old); got != want {
			t.Errorf("%s becomes %q, want %q", old, got, want)
		}
	}
}

// write makes a tree of files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const program = `package main

import (
	"context"
	"fmt"

	etcd "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"google.golang.org/grpc"
)

func main() {
	c, err := etcd.New(etcd.Config{Endpoints: []string{"127.0.0.1:2379"}, DialOptions: []grpc.DialOption{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	s, err := concurrency.NewSession(c)
	fmt.Println(s, err)
	_, err = c.Get(context.Background(), "k", etcd.WithPrefix())
	fmt.Println(err)
}
`

const old = `package main

import (
	"github.com/coreos/etcd/clientv3"
	"github.com/coreos/etcd/clientv3/naming"
	"github.com/coreos/etcd/mvcc/mvccpb"
)

// The path github.com/coreos/etcd/clientv3 is old.
func use(clientv3 struct{ SetLogger int }) int { return clientv3.SetLogger }

var (
	_ = clientv3.NewBalancer
	_ = naming.GRPCResolver{}
	_ = mvccpb.PUT
	_ clientv3.KV
)
`

func TestPlan(t *testing.T) {
	dir := write(t, map[string]string{
		"main.go": program, "old/old.go": old, "plain.go": "package main\n",
		"broken.go":     "package main\nimport \"go.etcd.io/etcd/client/v3\nfunc {",
		"vendor/x/x.go": program, ".git/x.go": program, "notes.txt": "go.etcd.io/etcd/client/v3",
		"both.go": "package main\n\nimport (\n\ta \"go.etcd.io/etcd/client/v3\"\n\tb " +
			"\"github.com/fairlead-go/fairlead/clientv3\"\n)\n\nvar _ a.KV\nvar _ b.KV\n",
	})
	p, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	var changed []string
	for _, f := range p.Files {
		changed = append(changed, f.Path)
	}
	if want := []string{at("both.go"), at("main.go"), at("old/old.go")}; !slices.Equal(changed, want) ||
		p.Scanned != 5 ||
		p.Modules != nil {
		t.Errorf("%v change of %d, want %v", changed, p.Scanned, want)
	}
	var looks []string
	for _, l := range p.Looks {
		looks = append(looks, strings.TrimPrefix(l.String(), dir+"/"))
	}
	for _, want := range []string{
		"both.go:4: imports github.com/fairlead-go/fairlead/clientv3 a second time, as line 5 does",
		"broken.go: does not parse",
		"old/old.go:5: github.com/coreos/etcd/clientv3/naming: gRPC dropped",
		"old/old.go:9: names an old path outside of the imports: // The path github.com/coreos/etcd/clientv3 is old.",
		"old/old.go:13: github.com/fairlead-go/fairlead/clientv3 has no NewBalancer",
		"vendor: copies of dependencies",
	} {
		if !slices.ContainsFunc(looks, func(l string) bool { return strings.HasPrefix(l, want) }) {
			t.Errorf("no look %q in\n%s", want, strings.Join(looks, "\n"))
		}
	}
	if n := len(looks); n != 6 {
		t.Errorf("%d looks:\n%s", n, strings.Join(looks, "\n"))
	}
	diff := p.Diff()
	for _, want := range []string{
		"-\tetcd \"go.etcd.io/etcd/client/v3\"\n", "+\tetcd \"github.com/fairlead-go/fairlead/clientv3\"\n",
		"+\t\"go.etcd.io/etcd/api/v3/mvccpb\"\n", "(before)", "@@",
	} {
		if !strings.Contains(diff, want) {
			t.Errorf("no %q in\n%s", want, diff)
		}
	}
	if b, err := os.ReadFile(at("main.go")); err != nil || string(b) != program {
		t.Error("the plan has changed a file")
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(at("main.go")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode: %v, %v", info.Mode(), err)
	}
	again, err := New(dir)
	if err != nil || len(again.Files) != 0 {
		t.Errorf("a second migration changes %d files, %v", len(again.Files), err)
	}
	if left, _ := filepath.Glob(at(".migrate-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestApplyNoticesChanges(t *testing.T) {
	dir := write(t, map[string]string{"a.go": program, "b.go": program})
	p, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	mine := "package main // edited\n"
	if err := os.WriteFile(filepath.Join(dir, "b.go"), []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(); err == nil || !strings.Contains(err.Error(), "1 of 2 files written") {
		t.Errorf("%v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "b.go")); string(b) != mine {
		t.Error("an edited file was overwritten")
	}
}

// A link to a directory is the directory; a link to a file is named.
func TestLinks(t *testing.T) {
	dir := write(t, map[string]string{"a/a.go": program, "other/b.go": program})
	if err := os.Symlink("../other/b.go", filepath.Join(dir, "a", "b.go")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(dir, "a"), link); err != nil {
		t.Fatal(err)
	}
	p, err := New(link)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Files) != 1 || filepath.Base(p.Files[0].Path) != "a.go" || len(p.Looks) != 1 ||
		!strings.Contains(p.Looks[0].String(), "b.go") {
		t.Errorf("files %v, looks %v", p.Files, p.Looks)
	}
}

// A file behind a link changes; the link stays.
func TestReplaceBehindLink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "go.mod")
	if err := errors.Join(os.WriteFile(real, []byte("old"), 0o644), os.Symlink("real", link)); err != nil {
		t.Fatal(err)
	}
	if err := replace(File{Path: link, Old: []byte("old"), New: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	to, err := os.Readlink(link)
	text, err2 := os.ReadFile(real)
	if err != nil || err2 != nil || to != "real" || string(text) != "new" {
		t.Errorf("link to %q (%v), text %q (%v)", to, err, text, err2)
	}
}

func TestNoDirectory(t *testing.T) {
	if _, err := New(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error")
	}
}

// TestMigratedProgramBuilds checks the purpose of a migration.
func TestMigratedProgramBuilds(t *testing.T) {
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{
		"main.go": program, "go.sum": string(sums),
		"go.mod": strings.Replace(
			string(mod),
			"module github.com/fairlead-go/fairlead",
			"module example.com/program",
			1,
		) +
			"\nrequire github.com/fairlead-go/fairlead v0.0.0\nreplace github.com/fairlead-go/fairlead => " +
			repository + "\n",
	})
	p, err := New(dir)
	if err != nil || len(p.Looks) != 0 {
		t.Fatalf("%v, %v", p.Looks, err)
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-mod=mod", "-o", os.DevNull, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestLineEndsStay: a file with lines that end as on Windows is changed too, and keeps its line
// ends.
func TestLineEndsStay(t *testing.T) {
	unix := "package x\n\nimport " +
		"(\n\t\"go.etcd.io/etcd/client/v3/concurrency\"\n\t\"github.com/zeebo/xxh3\"\n)\n\nvar _, _ = " +
		"concurrency.NewMutex, xxh3.Hash\n"
	tidy := strings.Replace(unix, "\t\"go.etcd.io/etcd/client/v3/concurrency\"\n\t\"github.com/zeebo/xxh3\"\n",
		"\t\"github.com/zeebo/xxh3\"\n\t\"go.etcd.io/etcd/client/v3/concurrency\"\n", 1)
	windows := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	want := strings.Replace(unix, "go.etcd.io/etcd/client/v3", ours, 1)
	dir := write(t, map[string]string{
		"tidy.go": windows(tidy), "untidy.go": windows(unix), "mixed.go": "// A note.\r\n" + tidy,
	})
	p, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"tidy.go": windows(want), "untidy.go": windows(want),
		"mixed.go": "// A note.\r\n" + strings.Replace(tidy, "go.etcd.io/etcd/client/v3", ours, 1),
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}

// TestNestedModules: their files change too, and each module is listed.
func TestNestedModules(t *testing.T) {
	const file = "package x\n\nimport _ \"go.etcd.io/etcd/client/v3\"\n"
	dir := write(t, map[string]string{
		"go.mod": "module example.com/x\n", "x.go": file,
		"tools/go.mod": "module example.com/x/tools\n", "tools/a.go": file, "tools/deep/b.go": file,
		"plain/c.go": file, "other/go.mod": "module example.com/x/other\n", "other/d.go": "package x\n",
	})
	p, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Files) != 4 {
		t.Errorf("%d files change", len(p.Files))
	}
	if len(p.Looks) != 1 || p.Looks[0].Path != filepath.Join(dir, "tools") ||
		!strings.Contains(p.Looks[0].Why, "a module of its own") {
		t.Errorf("looks: %v", p.Looks)
	}
}

// The registries of frameworks are in modules of their own, which the plan lists.
func TestPlanOfFrameworks(t *testing.T) {
	dir := write(t, map[string]string{"main.go": `package main

import (
	"github.com/go-kit/kit/sd/etcdv3"
	"github.com/go-kratos/kratos/contrib/registry/etcd/v2"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func use(c *clientv3.Client) { etcd.New(c, etcd.Namespace("/n"), etcd.RegisterTTL(0), etcd.MaxRetry(5)) }

var _ etcdv3.Service
`})
	p, err := New(dir)
	if err != nil || len(p.Files) != 1 || len(p.Looks) != 0 ||
		!slices.Equal(p.Modules, []string{goKitModule, kratosModule}) {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, want := range []string{goKit, kratos, ours} {
		if !strings.Contains(string(p.Files[0].New), strconv.Quote(want)) {
			t.Errorf("%s is not imported:\n%s", want, p.Files[0].New)
		}
	}
}
