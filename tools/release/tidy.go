package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// tidy runs `go mod tidy` for every module of a repository, or with check compares the files with
// what that would write. The versions that our modules require of each other need not be
// published, or may differ by now. So Go gets copies of go.mod and go.sum in which the directories
// of this repository replace them. Lines of go.sum for our own modules stay as the last release
// wrote them.
func (r *repository) tidy(ctx context.Context, check bool) error {
	tmp, err := os.MkdirTemp("", "fairlead-tidy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	var untidy []string
	for _, m := range r.modules {
		want, err := r.tidied(ctx, m, tmp)
		if err != nil {
			return fmt.Errorf("%s: %w", m.dir, err)
		}
		for name, text := range want {
			name = r.file(m.dir, name)
			old, err := os.ReadFile(name)
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			switch {
			case bytes.Equal(old, text):
			case check:
				untidy = append(untidy, name)
			default:
				if err := replaceFile(name, text); err != nil {
					return err
				}
			}
		}
	}
	if len(untidy) > 0 {
		return fmt.Errorf("not tidy, `make tidy` mends it: %s", strings.Join(untidy, ", "))
	}
	return nil
}

// tidied returns what a module's go.mod and go.sum should be.
func (r *repository) tidied(ctx context.Context, m *mod, tmp string) (map[string][]byte, error) {
	text, err := m.file.Format()
	if err != nil {
		return nil, err
	}
	text, err = r.edited(
		m,
		text,
		func(f *modfile.File, other *mod) error { return f.AddReplace(other.path, "", r.file(other.dir), "") },
	)
	if err != nil {
		return nil, err
	}
	sums, err := r.readSums(m)
	if err != nil {
		return nil, err
	}
	theirs := r.others(sums)
	modFile, sumFile := filepath.Join(tmp, "go.mod"), filepath.Join(tmp, "go.sum")
	if err := os.WriteFile(modFile, text, 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(sumFile, formatSums(theirs), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy", "-modfile="+modFile)
	cmd.Dir = r.file(m.dir)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if _, err := output(cmd); err != nil {
		return nil, err
	}
	want := make(map[string][]byte)
	if text, err = os.ReadFile(modFile); err != nil {
		return nil, err
	}
	want["go.mod"], err = r.edited(
		m,
		text,
		func(f *modfile.File, other *mod) error { return f.DropReplace(other.path, "") },
	)
	if err != nil {
		return nil, err
	}
	if text, err = os.ReadFile(sumFile); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if theirs, err = parseSums(text); err != nil {
		return nil, err
	}
	for _, s := range sums {
		if r.byPath(s.of.Path) != nil {
			theirs = append(theirs, s)
		}
	}
	if len(theirs) > 0 || len(sums) > 0 {
		want["go.sum"] = formatSums(theirs)
	}
	return want, nil
}

// edited returns a module's go.mod after a change for each of the other modules.
func (r *repository) edited(m *mod, text []byte, change func(*modfile.File, *mod) error) ([]byte, error) {
	f, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		return nil, err
	}
	for _, other := range r.modules {
		if other != m {
			if err := change(f, other); err != nil {
				return nil, err
			}
		}
	}
	f.Cleanup()
	return f.Format()
}
