// Mutants checks the tests: it makes small wrong changes to a copy of the repository, one at a
// time, and runs the tests that should notice. The table shows which test noticed. A change that
// no test notices fails the run.
//
//	go run ./tools/mutants                 # all
//	go run ./tools/mutants -only lease     # those whose names match this
//	go run ./tools/mutants -chaos=false    # without those that only the chaos test can see
//
// It starts with the tests of the unchanged copy: a test that fails there would seem to notice
// everything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// limit bounds a whole run, testLimit one go test, and chaosLimit one run of the chaos test.
const (
	limit      = 60 * time.Minute
	testLimit  = 3 * time.Minute
	chaosLimit = 4 * time.Minute
)

func main() {
	only := flag.String("only", "", "only mutants whose name matches this regular expression")
	chaos := flag.Bool("chaos", true, "also those that are for the chaos test")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, *only, *chaos); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, chaos bool) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	var list []mutant
	for _, m := range mutants {
		if match.MatchString(m.name) && (chaos || !m.chaos) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("no mutant is called %q", only)
	}
	dir, err := os.MkdirTemp("", "fairlead-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyTree(ctx, dir); err != nil {
		return err
	}
	if err := unchanged(ctx, dir, list); err != nil {
		return err
	}
	var missed []string
	for _, m := range list {
		began := time.Now()
		by, err := m.try(ctx, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if by == "" {
			by, missed = "NOBODY", append(missed, m.name)
		}
		fmt.Printf("%-44s %6.1f s  %s\n", m.name, time.Since(began).Seconds(), by)
	}
	if len(missed) > 0 {
		return fmt.Errorf("%d of %d were noticed by nobody: %s", len(missed), len(list), strings.Join(missed, ", "))
	}
	fmt.Printf("all %d were noticed\n", len(list))
	return nil
}

// copyTree copies the files of this repository that git has or would add.
func copyTree(ctx context.Context, to string) error {
	root, err := output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	root = strings.TrimSpace(root)
	names, err := output(ctx, root, "git", "ls-files", "-co", "-z", "--exclude-standard")
	if err != nil {
		return err
	}
	for _, name := range strings.FieldsFunc(names, func(r rune) bool { return r == 0 }) {
		from := filepath.Join(root, name)
		if info, err := os.Lstat(from); err != nil || !info.Mode().IsRegular() {
			continue // deleted, or a link
		}
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(b), nil
}

// unchanged runs the tests for the mutants on the unchanged copy.
func unchanged(ctx context.Context, dir string, list []mutant) error {
	var done []string
	for _, m := range list {
		key := fmt.Sprint(m.chaos, m.pkg, m.tests)
		if slices.Contains(done, key) {
			continue
		}
		done = append(done, key)
		by, err := m.notice(ctx, dir)
		if err != nil {
			return fmt.Errorf("unchanged, for %s: %w", m.name, err)
		}
		if by != "" {
			return fmt.Errorf("the unchanged tree fails already: %s", by)
		}
	}
	return nil
}

// try makes the change, finds out which test notices it, and undoes it.
func (m mutant) try(ctx context.Context, dir string) (by string, err error) {
	file := filepath.Join(dir, m.file)
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	changed, err := m.apply(string(b))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.WriteFile(file, b, 0o644)) }()
	return m.notice(ctx, dir)
}

// apply makes the change in a file's text.
func (m mutant) apply(text string) (string, error) {
	if n := strings.Count(text, m.old); n != 1 {
		return "", fmt.Errorf("what is to be changed is %d times in %s", n, m.file)
	}
	return strings.Replace(text, m.old, m.new, 1), nil
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// notice runs the tests that should notice, and returns the one that did, "" if none. A change
// that does not build is an error.
func (m mutant) notice(ctx context.Context, dir string) (string, error) {
	if m.chaos {
		bin := filepath.Join(dir, "chaos.bin")
		if out, err := combined(ctx, dir, testLimit, "go", "build", "-o", bin, "./chaos"); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		out, err := combined(ctx, dir, chaosLimit, bin, "-duration", "60s", "-seed", "1")
		if err != nil && ctx.Err() == nil {
			return "chaos: " + why(out, err), nil
		}
		return "", ctx.Err()
	}
	if out, err := combined(ctx, dir, testLimit, "go", "vet", m.pkg); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	out, err := combined(
		ctx,
		dir,
		testLimit,
		"go",
		"test",
		"-count=1",
		"-timeout",
		testLimit.String(),
		"-run",
		m.tests,
		m.pkg,
	)
	if err != nil && ctx.Err() == nil {
		return why(out, err), nil
	}
	return "", ctx.Err()
}

// why returns the most telling line of a failed run's output.
func why(out string, err error) string {
	if all := failed.FindAllStringSubmatch(out, -1); len(all) > 0 {
		return all[len(all)-1][1]
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, " - ") || strings.HasPrefix(line, "panic:") || strings.Contains(line, "FAILED") {
			return strings.TrimSpace(line)
		}
	}
	return err.Error()
}

func combined(ctx context.Context, dir string, limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	b, err := cmd.CombinedOutput()
	return string(b), err
}
