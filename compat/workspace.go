package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/fairlead-go/fairlead/compat/internal/outcome"
	"github.com/fairlead-go/fairlead/compat/internal/workcopy"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// etcdModules are raised to the release of the client if a project requires an older one.
var etcdModules = []string{
	"go.etcd.io/etcd/api/v3", "go.etcd.io/etcd/client/pkg/v3", "go.etcd.io/etcd/client/v3", "go.etcd.io/etcd/pkg/v3",
	"go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3",
}

// workspace is the directory of the copies for one checkout and one client, and what belongs to
// them:
//
//	src/MODULE@VERSION     the copies; suites of one module share one
//	SUITE/results.json     the last results of a suite
//	SUITE/failures.txt     the output of the tests that did not pass
type workspace struct {
	options
	suites []suite
	root   string // the checkout
	base   string // for both clients
	dir    string // base/CLIENT
}

func newWorkspace(root, base string, all []suite, o options) *workspace {
	return &workspace{options: o, suites: all, root: root, base: base, dir: filepath.Join(base, clientName(o.official))}
}

// cacheDir returns the directory for the copies of a checkout. Each checkout has its own.
func cacheDir(root string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the copies: %w", err)
	}
	hash := sha256.Sum256([]byte(root))
	return filepath.Join(cache, "fairlead", "compat", fmt.Sprintf("%x", hash[:4])), nil
}

func clientName(official bool) string {
	if official {
		return "official"
	}
	return "fairlead"
}

// checkout returns the directory of the repository, at or above the working directory.
func checkout() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "compat", "explained.txt")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no checkout (compat/explained.txt) at or above %s", wd)
		}
	}
}

// report is the outcome of one suite, in the form of its file.
type report struct {
	Suite   string
	Client  string
	Module  string
	Version string
	Date    time.Time
	Seconds float64
	Go      string
	Part    bool     // only some tests were run
	Notes   []string // what was left out
	Err     string   // why the suite, or some of its packages, could not be run
	Results []outcome.Result
}

// runAll prepares and runs suites one by one, prints their results, and returns the exit status. A
// suite that cannot be downloaded or run is named; the others still run.
func (w *workspace) runAll(ctx context.Context, chosen []suite, out io.Writer) (code int, err error) {
	unlock, err := w.lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	all, err := w.explanations()
	if err != nil {
		return 0, err
	}
	if _, err := etcdtest.Binary(""); err != nil {
		return 0, err
	}
	var reports []report
	for _, s := range chosen {
		r := w.runSuite(ctx, s)
		if ctx.Err() != nil {
			return 0, errors.New("interrupted")
		}
		if err := w.save(r); err != nil {
			return 0, err
		}
		reports = append(reports, r)
	}
	return printTable(out, reports, all, w.official), nil
}

func (w *workspace) runSuite(ctx context.Context, s suite) report {
	r := report{
		Suite:   s.name,
		Client:  clientName(w.official),
		Module:  s.module,
		Version: s.version,
		Go:      runtime.Version(),
		Part:    w.run != "",
	}
	progress("%s: preparing %s@%s", s.name, s.module, s.version)
	var err error
	r.Date = time.Now()
	if r.Notes, err = w.prepare(ctx, s); err == nil {
		began := time.Now()
		var child report
		if child, err = w.isolate(ctx, s); err == nil {
			r.Results, r.Err = child.Results, child.Err
		}
		r.Seconds = time.Since(began).Seconds()
	}
	if err != nil {
		r.Err = err.Error()
	}
	return r
}

// prepare makes the copy of the suite's module and compiles its tests, so that running them needs
// no network.
func (w *workspace) prepare(ctx context.Context, s suite) (notes []string, err error) {
	goVersion, raise, err := workcopy.Requirements(filepath.Join(w.root, "go.mod"))
	if err != nil {
		return nil, err
	}
	for _, m := range etcdModules {
		raise[m] = etcdVersion
	}
	spec := workcopy.Spec{Module: s.module, Version: s.version, Optional: s.optional, Raise: raise, Go: goVersion}
	if !w.official {
		spec.Replace = map[string]string{
			"go.etcd.io/etcd/client/v3":       filepath.Join(w.root, "dropin"),
			"github.com/fairlead-go/fairlead": w.root,
		}
	}
	if notes, err = workcopy.Make(ctx, spec, w.copyDir(s)); err != nil {
		return nil, err
	}
	// This compiles but does not link: each test binary is linked once, when it is run.
	args := append(
		[]string{"list", "-export", "-test", "-deps", "-f", "{{if false}}{{end}}", "-tags", s.tags},
		s.packages...)
	out, err := w.goCommand(ctx, s, args...).CombinedOutput()
	if err != nil && ctx.Err() == nil {
		// Packages that do not build show up again, one by one, when they are run.
		progress("%s: not everything builds:\n%s", s.name, out)
	}
	return notes, nil
}

func (w *workspace) copyDir(s suite) string {
	return filepath.Join(w.dir, "src", filepath.FromSlash(s.module)+"@"+s.version)
}

// goCommand returns a command in the suite's copy. The command may complete go.mod and go.sum:
// they belong to the copy.
func (w *workspace) goCommand(ctx context.Context, s suite, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = w.copyDir(s)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	return cmd
}

func (w *workspace) explanations() ([]outcome.Explanation, error) {
	f, err := os.Open(filepath.Join(w.root, "compat", "explained.txt"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := outcome.ReadExplanations(f)
	if err != nil {
		return nil, fmt.Errorf("explained.txt: %w", err)
	}
	return all, nil
}

// lock keeps two runs from using the same copies. The kernel releases it when the process ends.
func (w *workspace) lock() (unlock func(), err error) {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(w.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another run is at work in %s", w.dir)
	}
	return func() { f.Close() }, nil
}

func (w *workspace) save(r report) error {
	dir := filepath.Join(w.dir, r.Suite)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	name := "results.json"
	if r.Part {
		name = "results-part.json"
	}
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}

// load returns the last results of a suite with a client, and whether there are any.
func (w *workspace) load(suite string, official bool) (r report, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(w.base, clientName(official), suite, "results.json"))
	if errors.Is(err, os.ErrNotExist) {
		return report{}, false, nil
	}
	if err != nil {
		return report{}, false, err
	}
	return r, true, json.Unmarshal(text, &r)
}

func (w *workspace) page(out io.Writer) error {
	all, err := w.explanations()
	if err != nil {
		return err
	}
	var pairs []pair
	for _, s := range w.suites {
		p := pair{suite: s}
		if p.ours, p.haveOurs, err = w.load(s.name, false); err != nil {
			return err
		}
		if p.official, p.haveOfficial, err = w.load(s.name, true); err != nil {
			return err
		}
		pairs = append(pairs, p)
	}
	return printPage(out, pairs, all)
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
