package migrate

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const modHead = "module example.com/program\n\ngo 1.25.0\n\n"

// userModule makes a module whose program uses the official client only through a dependency, to
// which go.mod has a relative path.
func userModule(t *testing.T) string {
	t.Helper()
	return write(t, map[string]string{
		"user/go.mod": modHead +
			"require example.com/dependency v0.0.0\n\nreplace example.com/dependency => ../dependency\n",
		"user/main.go":      "package main\n\nimport \"example.com/dependency\"\n\nfunc main() { dependency.Open() }\n",
		"dependency/go.mod": "module example.com/dependency\n\ngo 1.25.0\n\nrequire " + official + " v3.6.16\n",
		"dependency/open.go": "package dependency\n\nimport clientv3 \"" + official + "\"\n\n" +
			"func Open() (*clientv3.Client, error) { return clientv3.New(clientv3.Config{}) }\n",
	})
}

func checkout(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func goIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestReplacement: a dependency uses our client, and the program builds.
func TestReplacement(t *testing.T) {
	dir := filepath.Join(userModule(t), "user")
	plan := func() *Plan {
		t.Helper()
		p, err := NewReplacement(t.Context(), dir, With{Checkout: checkout(t)})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := plan()
	if _, err := os.Stat(filepath.Join(dir, "go.sum")); !errors.Is(err, os.ErrNotExist) || len(p.Files) != 2 {
		t.Errorf("the plan has %d files, and go.sum: %v", len(p.Files), err)
	}
	if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err != nil || strings.Contains(string(mod), fairlead) {
		t.Errorf("the plan has changed go.mod: %s, %v", mod, err)
	}
	diff := p.Diff()
	for _, want := range []string{
		"+replace " + official + " => " + checkout(t) + "/dropin", "+\tgo.etcd.io/etcd/api/v3 v3.7.3", "+go 1.26.0",
	} {
		if !strings.Contains(diff, want) {
			t.Errorf("no %q in\n%s", want, diff)
		}
	}
	if len(p.Looks) != 1 || !strings.Contains(p.Looks[0].String(), "go.mod:3: asks for Go 1.26.0 now") {
		t.Errorf("looks: %v", p.Looks)
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	goIn(t, dir, "build", "-o", os.DevNull, ".")
	got := goIn(t, dir, "list", "-deps", "-f", "{{with .Module}}{{with .Replace}}{{.Dir}}{{end}}{{end}}", ".")
	if !strings.Contains(got, filepath.Join(checkout(t), "dropin")) {
		t.Errorf("the program is built from %s", got)
	}
	if again := plan(); len(again.Files)+len(again.Looks) != 0 {
		t.Errorf("a second time: %s%v", again.Diff(), again.Looks)
	}
}

// On the command line a path is relative to the working directory, in go.mod to the module.
func TestReplacementRelativePath(t *testing.T) {
	dir := filepath.Join(userModule(t), "user")
	repository := checkout(t)
	t.Chdir(filepath.Dir(dir))
	if err := os.Symlink(repository, "fairlead"); err != nil {
		t.Fatal(err)
	}
	p, err := NewReplacement(t.Context(), "user", With{Checkout: "fairlead"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := p.Diff(); !strings.Contains(diff, "+replace "+official+" => ../fairlead/dropin") {
		t.Errorf("%s", diff)
	}
}

// TestNoReplacement: an impossible replacement is an error, and nothing changes.
func TestNoReplacement(t *testing.T) {
	const uses = "package main\n\nimport _ \"" + official + "\"\n\nfunc main() {}\n"
	mod := func(lines string) map[string]string {
		return map[string]string{"main.go": uses, "go.mod": modHead + lines + "\n"}
	}
	for name, c := range map[string]struct {
		files map[string]string
		with  With
		want  string
	}{
		"no module": {files: map[string]string{"main.go": uses}, want: "has no go.mod: name the directory"},
		"below the module": {
			files: map[string]string{"go.mod": modHead, "dir/main.go": uses}, want: "that of its module is in",
		},
		"go.mod has no module": {files: map[string]string{"go.mod": "go 1.26\n"}, want: "names no module"},
		"go.mod is broken":     {files: map[string]string{"go.mod": "modul x\n"}, want: "unknown directive"},
		"the official client":  {files: map[string]string{"go.mod": "module " + official + "\n"}, want: "itself"},
		"replaced by others": {files: mod("replace " + official + " => example.com/fork/v3 v3.5.0"),
			want: "go.mod:5: " + official + " is replaced by example.com/fork/v3 v3.5.0 already"},
		"replaced by another version": {files: mod("replace " + official + " => " + official +
			" v3.5.9"), want: "is replaced by " + official + " v3.5.9 already"},
		"replaced by a directory": {
			files: mod("replace " + official + " => ../fork"), want: "is replaced by ../fork already",
		},
		"one version is replaced": {
			files: mod("replace " + official + " v3.5.9 => " + dropIn + " v3.1.0"), want: "acts on no other version",
		},
		"api is replaced": {
			files: mod("replace " + wireAPI + " => " + wireAPI + " v3.5.9"), want: wireAPI + " is replaced",
		},
		"not used": {files: map[string]string{"main.go": "package main\n\nfunc main() {}\n", "go.mod": modHead},
			want: "there is nothing to replace"},
		"no checkout": {files: mod("require " + official + " v3.6.16"), with: With{
			Checkout: ".",
		}, want: ". is no checkout of " + fairlead},
		"the workspace replaces it": {files: map[string]string{"main.go": uses, "go.mod": modHead,
			"go.work": "go 1.25.0\n\nuse .\n\nreplace " + official + " => ../fork\n"},
			want: "go.work:5: the workspace replaces " + official},
		"tidy fails": {files: mod(
			"require example.com/dependency v0.0.0\n\nreplace example.com/dependency => ./none"), want: "go mod tidy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOWORK", "")
			dir := write(t, c.files)
			if _, ok := c.files["dir/main.go"]; ok {
				dir = filepath.Join(dir, "dir")
			}
			if c.with == (With{}) {
				c.with.Checkout = checkout(t)
			}
			_, err := NewReplacement(t.Context(), dir, c.with)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			for file, text := range c.files {
				if got, err := os.ReadFile(filepath.Join(strings.TrimSuffix(dir, "/dir"), file)); err != nil ||
					string(got) != text {
					t.Errorf("%s was changed: %s, %v", file, got, err)
				}
			}
		})
	}
}

// TestReplacementLooks: effects that the difference does not show are listed.
func TestReplacementLooks(t *testing.T) {
	t.Setenv("GOWORK", "")
	dir := write(t, map[string]string{
		"main.go": "package main\n\nimport (\n\t_ \"" + official + "\"\n\t_ \"" + server +
			"/embed\"\n)\n\nfunc main() {}\n",
		"go.mod":             modHead + "require (\n\t" + official + " v3.6.16\n\t" + server + " v3.6.16\n)\n",
		"vendor/modules.txt": "", "go.work": "go 1.25.0\n\nuse .\n",
	})
	p, err := NewReplacement(t.Context(), dir, With{Checkout: checkout(t)})
	if err != nil {
		t.Fatal(err)
	}
	var looks []string
	for _, l := range p.Looks {
		looks = append(looks, strings.TrimPrefix(l.String(), dir+"/"))
	}
	all := strings.Join(looks, "\n")
	for _, want := range []string{
		"go.mod:3: asks for Go 1.26.0 now", "go.mod: an embedded server before 3.7 does not build",
		"vendor: copies of dependencies", "go.work: a workspace",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if len(looks) != 4 {
		t.Errorf("%d looks:\n%s", len(looks), all)
	}
}

func TestReplacementIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := NewReplacement(ctx, filepath.Join(userModule(t), "user"), With{Checkout: checkout(t)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestReplacementKeepsLineEnds also checks that modules further down which need a replace of their
// own are listed.
func TestReplacementKeepsLineEnds(t *testing.T) {
	top := userModule(t)
	dir := filepath.Join(top, "user")
	path := filepath.Join(dir, "go.mod")
	mod, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod":        strings.ReplaceAll(string(mod), "\n", "\r\n"),
		"tools/go.mod":  "module example.com/tools\n\nrequire " + official + " v3.6.16\n",
		"tools/main.go": "package main\n",
		"other/go.mod":  "module example.com/other\n",
	} {
		file := filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := NewReplacement(t.Context(), dir, With{Checkout: checkout(t)})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Files) != 2 || !crlf(p.Files[0].New) || crlf(p.Files[1].New) {
		t.Errorf("%d files, and their line ends are not as before", len(p.Files))
	}
	var nested []string
	for _, l := range p.Looks {
		if strings.Contains(l.Why, "does not act") {
			nested = append(nested, l.Path)
		}
	}
	if len(nested) != 1 || nested[0] != filepath.Join(dir, "tools") {
		t.Errorf("looks: %v", p.Looks)
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	goIn(t, dir, "build", "-o", os.DevNull, ".")
}
