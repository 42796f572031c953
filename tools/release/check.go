package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	program  = "cmd/fairlead"                    // directory of the module that users install
	programs = "tools/release/testdata/programs" // directory with a program for each other module that users get
)

// rehearse makes a stage of a repository in a temporary directory and passes it to do.
func (r *repository) rehearse(
	ctx context.Context,
	out io.Writer,
	version string,
	do func(s *stage, tmp string) error,
) error {
	if err := checkVersion(r.prefix, version); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "fairlead-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	s, err := newStage(ctx, r, version, tmp)
	if err != nil {
		return err
	}
	for _, p := range s.packed {
		fmt.Fprintf(out, "packed     %s %s, %d KB\n", p.of.Path, p.of.Version, (p.size+1023)/1024)
	}
	var work []string
	for _, m := range s.modules {
		if !m.released {
			work = append(work, m.dir)
		}
	}
	slices.Sort(work)
	fmt.Fprintf(out, "not packed %s: for work on this repository\n", strings.Join(work, ", "))
	return do(s, tmp)
}

// tryOut does what users will do with a release: it installs the program, and builds a program
// with each of the other modules. All of them run against the etcd of the installed program. Then
// it checks a checkout of the release.
func tryOut(ctx context.Context, out io.Writer, s *stage, tmp string) error {
	u, err := newUser(ctx, s, filepath.Join(tmp, "user"), true)
	if err != nil {
		return err
	}
	t := &timer{out: out, last: time.Now()}
	fairlead, err := u.install(ctx, s.at(program))
	if err != nil {
		return err
	}
	says, err := u.run(ctx, u.dir, fairlead, "version")
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(says, "\n")
	if want := "fairlead " + strings.TrimPrefix(s.version, "v"); first != want {
		return fmt.Errorf("%s version says %q, want %q", fairlead, first, want)
	}
	t.report("installed", s.at(program), "says "+first)

	etcd, err := startEtcd(ctx, u, fairlead)
	if err != nil {
		return err
	}
	defer etcd.stop()
	for _, m := range s.modules {
		if !m.released || m.dir == program {
			continue
		}
		built, err := u.build(ctx, m, s.file(programs, programOf(m)))
		if err != nil {
			return fmt.Errorf("a program with %s: %w", m.path, err)
		}
		says, err := u.run(ctx, u.dir, built, etcd.endpoint)
		if err != nil {
			return fmt.Errorf("a program with %s: %w", m.path, err)
		}
		t.report("used", m, says)
	}
	if err := etcd.stop(); err != nil {
		return err
	}
	for _, m := range s.modules {
		if m.released {
			if err := u.checkout(ctx, m); err != nil {
				return fmt.Errorf("a checkout of this release, in %s without go.work: %w", m.dir, err)
			}
			t.report("checkout", m, "is tidy and builds without go.work")
		}
	}
	return nil
}

func programOf(m *mod) string {
	if m.dir == "." {
		return "root"
	}
	return m.dir
}

// timer prints how long each part took.
type timer struct {
	out  io.Writer
	last time.Time
}

func (t *timer) report(did string, m *mod, what string) {
	now := time.Now()
	fmt.Fprintf(t.out, "%-10s %s: %s (%.1f s)\n", did, m.path, what, now.Sub(t.last).Seconds())
	t.last = now
}
