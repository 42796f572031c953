// Package dropin tests the drop-in module as people use it: by a replace in the go.mod of programs
// that know only the official client. It is not in the module itself, which cannot import what
// runs servers for tests.
package dropin

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

const (
	root = "../.." // the root of the repository

	official = "go.etcd.io/etcd/client/v3"
	fairlead = "github.com/fairlead-go/fairlead"
	forward  = fairlead + "/dropin/v3" // the drop-in's path in a replace

	before = "v3.6.16" // the version of the official client that the programs have
)

// commandTimeout bounds one command on a busy machine, including downloads and a build from
// scratch.
const commandTimeout = 15 * time.Minute

// project is somebody's module that uses etcd.
type project struct {
	dir string
	env []string
}

// newProject makes a project from a program in testdata. The lines are added to its go.mod, which
// already requires the official client.
func newProject(t *testing.T, program string, lines ...string) *project {
	t.Helper()
	p := &project{dir: t.TempDir(), env: append(environ(), "GOWORK=off", "GOFLAGS=-trimpath")}
	text, err := os.ReadFile(filepath.Join("testdata", program, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "main.go", string(text))
	p.write(t, "go.mod", "module example.com/program\n\ngo 1.25.0\n\nrequire "+official+" "+before+"\n"+
		strings.Join(lines, "\n")+"\n")
	return p
}

// environ is the environment without the variables that git sets for hooks, which name another
// repository.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
}

func (p *project) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs a command in the project and returns what it prints on standard output.
func (p *project) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &out, &errs)
	}
	return strings.TrimSpace(out.String())
}

// build tidies and builds the project and returns the program.
func (p *project) build(t *testing.T) string {
	t.Helper()
	p.run(t, "go", "mod", "tidy")
	path := filepath.Join(p.dir, "program")
	p.run(t, "go", "build", "-o", path, ".")
	return path
}

// replaced adds a replace by the drop-in of this checkout to a project, with a relative path.
func (p *project) replaced(t *testing.T) (path string) {
	t.Helper()
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(dir, here)
	if err != nil {
		t.Fatal(err)
	}
	path = rel + "/dropin"
	p.run(t, "go", "mod", "edit", "-replace="+official+"="+path, "-replace="+fairlead+"="+rel)
	return path
}

// rootVersion returns the version of the root module that the drop-in requires.
func rootVersion(t *testing.T) string {
	t.Helper()
	p := &project{dir: filepath.Join(root, "dropin"), env: environ()}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(p.run(t, "go", "mod", "edit", "-json")), &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if r.Path == fairlead {
			return r.Version
		}
	}
	t.Fatalf("the drop-in does not require %s", fairlead)
	return ""
}

// command builds the command line program.
func command(t *testing.T) (path string) {
	t.Helper()
	p := &project{dir: filepath.Join(root, "cmd", "fairlead"), env: environ()}
	path = filepath.Join(t.TempDir(), "fairlead")
	p.run(t, "go", "build", "-o", path, ".")
	return path
}

// repository commits this checkout as it is into a new git repository and tags it.
func repository(t *testing.T, tags ...string) (dir string) {
	t.Helper()
	p := &project{dir: t.TempDir(), env: environ()}
	here := &project{dir: root, env: environ()}
	for name := range strings.SplitSeq(here.run(t, "git", "ls-files", "-co", "--exclude-standard", "-z"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if name == "" || os.IsNotExist(err) { // deleted but not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(p.dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		p.write(t, name, string(text))
	}
	p.run(t, "git", "init", "-q")
	p.run(t, "git", "add", "-A")
	p.run(
		t,
		"git",
		"-c",
		"user.name=test",
		"-c",
		"user.email=test@example.com",
		"-c",
		"commit.gpgsign=false",
		"commit",
		"-q",
		"-m",
		"release",
	)
	for _, tag := range tags {
		p.run(t, "git", "tag", tag)
	}
	return p.dir
}
