package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead-go/fairlead/compat/internal/outcome"
)

const (
	// packageTimeout bounds a package whose tests each end but are too many or too slow.
	packageTimeout = time.Hour
	// dumpTimeout is how long a binary may print its stacks before it is killed.
	dumpTimeout = 20 * time.Second
	// maxAttempts bounds how often a package is started again after a test ended its binary.
	maxAttempts = 20
)

// runPackages runs the tests of a suite's packages. The error has the packages that failed as a
// whole; the results have what came in spite of that.
func (w *workspace) runPackages(ctx context.Context, s suite) (all []outcome.Result, err error) {
	pkgs, err := w.testPackages(ctx, s)
	if err != nil {
		return nil, err
	}
	failures, err := w.createFailures(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, failures.Close()) }()
	workers := w.parallel
	if s.server != nil && s.server.port != 0 {
		workers = 1
	}
	var (
		mu    sync.Mutex // guards all, errs and failures
		errs  []error
		wg    sync.WaitGroup
		queue = make(chan string)
	)
	for range workers {
		wg.Go(func() {
			for pkg := range queue {
				began := time.Now()
				rs, err := w.runPackage(ctx, s, pkg)
				mu.Lock()
				announce(s, pkg, rs, err, time.Since(began))
				rs, writeErr := writeFailures(failures, rs)
				all = append(all, rs...)
				errs = append(errs, err, writeErr)
				mu.Unlock()
			}
		})
	}
	for _, pkg := range pkgs {
		if ctx.Err() != nil {
			break
		}
		queue <- pkg
	}
	close(queue)
	wg.Wait()
	slices.SortStableFunc(all, func(a, b outcome.Result) int { return strings.Compare(a.Package, b.Package) })
	return all, errors.Join(errs...)
}

func announce(s suite, pkg string, rs []outcome.Result, err error, took time.Duration) {
	v := outcome.Judge(s.name, rs, nil, false)
	progress(
		"%s: %s: %d passed, %d failed, %d hung, %d skipped in %v",
		s.name,
		pkg,
		v.Passed,
		v.Failed,
		v.Hung,
		v.Skipped,
		took.Round(time.Second),
	)
	for _, r := range rs {
		if r.Bad() {
			progress("%s: %s: %s %s", s.name, pkg, r.Status, r.Test)
		}
	}
	if err != nil {
		progress("%s: %s: %v", s.name, pkg, err)
	}
}

// testPackages lists the suite's packages that have tests, below the module's root ("." for the
// root itself).
func (w *workspace) testPackages(ctx context.Context, s suite) ([]string, error) {
	format := "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}"
	cmd := w.goCommand(ctx, s, append([]string{"list", "-e", "-tags", s.tags, "-f", format}, s.packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var pkgs []string
	for _, path := range strings.Fields(string(out)) {
		pkg := strings.TrimPrefix(strings.TrimPrefix(path, s.module), "/")
		if pkg == "" {
			pkg = "."
		}
		if !slices.ContainsFunc(s.except, func(e string) bool { return pkg == e || strings.HasPrefix(pkg, e+"/") }) {
			pkgs = append(pkgs, pkg)
		}
	}
	if len(pkgs) == 0 {
		return nil, errors.New("there is no package with tests")
	}
	return pkgs, nil
}

// runPackage runs the tests of one package, and runs those again that had no turn because another
// test ended the binary.
func (w *workspace) runPackage(ctx context.Context, s suite, pkg string) ([]outcome.Result, error) {
	var results []outcome.Result
	ended := slices.Clone(s.without)
	for range maxAttempts {
		c, err := w.attempt(ctx, s, pkg, ended)
		if err != nil {
			return results, err
		}
		results = append(results, c.Results()...)
		if c.Complete() || ctx.Err() != nil {
			return results, ctx.Err()
		}
		if len(c.Ended()) == 0 {
			return results, fmt.Errorf("%s: the tests end before the first of them does", pkg)
		}
		ended = append(ended, c.Ended()...)
	}
	return results, fmt.Errorf("%s: tests took the package down %d times; the rest was not run", pkg, maxAttempts)
}

// attempt starts a package's test binary without some tests and follows it to its end.
func (w *workspace) attempt(ctx context.Context, s suite, pkg string, without []string) (*outcome.Collector, error) {
	env, stop, err := s.server.start()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pkg, err)
	}
	defer stop()
	args := []string{
		"test",
		"-json",
		"-vet=off",
		"-count=1",
		"-timeout",
		packageTimeout.String(),
		"-tags",
		s.tags,
		"-run",
		w.run,
	}
	if len(without) > 0 {
		args = append(args, "-skip", "^("+strings.Join(without, "|")+")$") // names of tests are identifiers
	}
	cmd := w.goCommand(context.Background(), s, append(args, "./"+pkg)...)
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	dog := watchOver(ctx, cmd)
	c := outcome.NewCollector(pkg)
	err = c.Read(out, dog.moved)
	cmd.Wait() // the events say more than its status
	c.Finish(dog.end())
	return c, err
}

// watchdog ends a process group when its tests no longer begin or end, or when the context ends.
type watchdog struct {
	timer *time.Timer
	done  chan struct{}
	gone  chan struct{}
	hung  bool // may be read after gone is closed
}

func watchOver(ctx context.Context, cmd *exec.Cmd) *watchdog {
	d := &watchdog{timer: time.NewTimer(stall), done: make(chan struct{}), gone: make(chan struct{})}
	group := -cmd.Process.Pid
	go func() {
		defer close(d.gone)
		select {
		case <-d.done:
			return
		case <-ctx.Done():
		case <-d.timer.C:
			d.hung = true
			syscall.Kill(group, syscall.SIGQUIT) // makes Go programs print their stacks
			grace := time.NewTimer(dumpTimeout)
			defer grace.Stop()
			select {
			case <-d.done:
			case <-ctx.Done():
			case <-grace.C:
			}
		}
		syscall.Kill(group, syscall.SIGKILL)
	}()
	return d
}

func (d *watchdog) moved() { d.timer.Reset(stall) }

// end is called when the process has ended; it reports whether the process had to be ended because
// it hung.
func (d *watchdog) end() (hung bool) {
	close(d.done)
	<-d.gone
	d.timer.Stop()
	return d.hung
}

func (w *workspace) createFailures(s suite) (*os.File, error) {
	dir := filepath.Join(w.dir, s.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.Create(filepath.Join(dir, "failures.txt"))
}

// writeFailures writes the whole output of failed tests to a file, and keeps only the important
// lines in the results.
func writeFailures(f io.Writer, all []outcome.Result) ([]outcome.Result, error) {
	for i, r := range all {
		all[i].Output = outcome.KeyLines(r.Output)
		if !r.Bad() {
			continue
		}
		if _, err := fmt.Fprintf(f, "==== %s %s: %s\n%s\n", r.Package, r.Test, r.Status, r.Output); err != nil {
			return all, err
		}
	}
	return all, nil
}
