package dropin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// report is what the program in testdata/user prints.
type report struct {
	Own        string
	Dependency []string
	Module     string
	Goroutines []string
}

// use builds the project, runs it and checks what it reports of itself: module is what is linked
// as the official one, and client is the module whose code its dependency's client runs.
func use(t *testing.T, p *project, module, client string) {
	t.Helper()
	program := p.build(t)
	var r report
	out := p.run(t, program, etcdtest.Shared(t).Endpoints()...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.Own != "written" || !slices.Equal(r.Dependency, []string{"10.0.0.1:80"}) {
		t.Errorf("it read %q by itself and %q through the dependency", r.Own, r.Dependency)
	}
	if r.Module != module {
		t.Errorf("%s is linked, want %s", r.Module, module)
	}
	if !slices.Equal(r.Goroutines, []string{client}) {
		t.Errorf("goroutines of the dependency's client run in %v, want %s", r.Goroutines, client)
	}
}

// kit is a dependency with an etcd client.
const kit = "require github.com/go-kit/kit v0.13.0"

// TestBefore is the measure for the other tests: the official client without a replace.
func TestBefore(t *testing.T) {
	p := newProject(t, "user", kit, "require google.golang.org/genproto v0.0.0-20260817212433-ac3dfec99bb1")
	// This go-kit is older than the split of genproto, which the official client does not get
	// along with. The drop-in brings a current genproto by itself.
	p.write(
		t,
		"genproto.go",
		"//go:build never\n\npackage main\n\nimport _ \"google.golang.org/genproto/googleapis/type/color\"\n",
	)
	use(t, p, official+" "+before, official)
}

// TestRepository takes both modules from their repository by their tags, as a user does: with one
// line the program and its dependency run on our client. The line is written by hand or by the
// command.
func TestRepository(t *testing.T) {
	version := rootVersion(t)
	forwardVersion := "v3" + strings.TrimPrefix(version, "v0")
	repository := repository(t, version, "dropin/"+forwardVersion)
	for _, by := range []string{"hand", "migrate"} {
		t.Run(by, func(t *testing.T) {
			p := newProject(t, "user", kit)
			// Our modules come directly from the repository, all others as always. They go into a
			// module cache of their own, since these versions may mean something else one day.
			cache := p.run(t, "go", "env", "GOMODCACHE")
			proxy := p.run(t, "go", "env", "GOPROXY")
			p.env = append(
				p.env,
				"GOFLAGS=-trimpath -modcacherw",
				"GOMODCACHE="+t.TempDir(),
				"GOPROXY=file://"+filepath.ToSlash(
					cache,
				)+"/cache/download,"+proxy,
				"GOPRIVATE="+fairlead,
				"GOSUMDB=off",
				"GIT_CONFIG_COUNT=1",
				"GIT_CONFIG_KEY_0=url.file://"+repository+".insteadOf",
				"GIT_CONFIG_VALUE_0=https://"+fairlead,
			)
			if by == "hand" {
				p.run(t, "go", "mod", "edit", "-replace="+official+"="+forward+"@"+forwardVersion)
			} else {
				p.run(t, command(t), "migrate", "--replace", "--write", ".")
			}
			use(t, p, forward+" "+forwardVersion, fairlead)
			mod, err := os.ReadFile(filepath.Join(p.dir, "go.mod"))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"go 1.26", fairlead + " " + version + " // indirect",
				"go.etcd.io/etcd/api/v3 v3.7.3 // indirect",
				official + " => " + forward + " " + forwardVersion} {
				if !strings.Contains(string(mod), want) {
					t.Errorf("no %q in go.mod:\n%s", want, mod)
				}
			}
		})
	}
}

// TestPath takes both modules from this checkout.
func TestPath(t *testing.T) {
	p := newProject(t, "user", kit)
	use(t, p, p.replaced(t)+" (devel)", fairlead)
}

// TestResponseChSize: the only variable that programs set works at both paths.
func TestResponseChSize(t *testing.T) {
	p := newProject(t, "size")
	p.replaced(t)
	program := p.build(t)
	for _, c := range []struct{ official, fairlead, want string }{
		{"", "", "16"}, {"3", "", "3"}, {"", "5", "5"}, {"3", "5", "3"}, {"40", "", "40"}, {"0", "", "1"},
	} {
		if got := p.run(t, program, etcdtest.Shared(t).Endpoints()[0], c.official, c.fairlead); got != c.want {
			t.Errorf(
				"set to %q there and %q here, a channel keeps %s answers, want %s",
				c.official,
				c.fairlead,
				got,
				c.want,
			)
		}
	}
}

// TestBothPaths: a program may use the drop-in and our own path, and mix them.
func TestBothPaths(t *testing.T) {
	p := newProject(t, "both")
	p.replaced(t)
	if got := p.run(t, p.build(t), etcdtest.Shared(t).Endpoints()[0]); got != "both" {
		t.Errorf("it printed %q", got)
	}
}
