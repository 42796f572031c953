package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errBroken = errors.New("broken")

func fine(*stage, string) error   { return nil }
func broken(*stage, string) error { return errBroken }

// state is what a failed release must leave unchanged.
func state(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	for _, args := range [][]string{{"rev-parse", "HEAD"}, {"tag"}, {"status", "--porcelain"}, {"diff", "HEAD"}} {
		out, err := git(t.Context(), dir, args...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out)
	}
	return strings.Join(all, "\n")
}

func TestRelease(t *testing.T) {
	dir := newSmall(t, nil)
	var out bytes.Buffer
	if err := openSmall(t, dir).release(t.Context(), &out, "v0.2.0", fine); err != nil {
		t.Fatal(err)
	}
	tags, err := git(
		t.Context(),
		dir,
		"for-each-ref",
		"--format=%(objecttype) %(refname:short) %(*objectname)",
		"refs/tags",
	)
	if err != nil {
		t.Fatal(err)
	}
	head, err := git(t.Context(), dir, "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	want := "tag a/prog/v0.2.0 HEAD\ntag kit/v0.2.0 HEAD\ntag standin/v3.2.0 HEAD\ntag v0.2.0 HEAD"
	if tags != strings.ReplaceAll(want, "HEAD", head) {
		t.Errorf("the tags are\n%s\nHEAD is %s", tags, head)
	}
	if says := out.String(); !strings.Contains(says, "git push --atomic origin HEAD v0.2.0 ") ||
		!strings.Contains(says, "tests: for work on this repository") {
		t.Errorf("it says\n%s", says)
	}
	if changed, err := git(t.Context(), dir, "status", "--porcelain"); err != nil || changed != "" {
		t.Errorf("left uncommitted: %s %v", changed, err)
	}
	if mod := read(t, dir, "tests/go.mod"); !strings.Contains(mod, "require github.com/example/small/kit v0.2.0") {
		t.Errorf("tests/go.mod is\n%s", mod)
	}
	// Afterwards the tree stays tidy, and the next release works from there.
	write(
		t,
		dir,
		map[string]string{
			"small.go":     "package small\n\nfunc Name() string { return \"next\" }\n",
			"CHANGELOG.md": "## 0.3.0 (today)\n",
		},
	)
	if err := openSmall(t, dir).tidy(t.Context(), true); err != nil {
		t.Error(err)
	}
	if _, err := git(t.Context(), dir, "commit", "--quiet", "--all", "--message", "Next"); err != nil {
		t.Fatal(err)
	}
	if err := openSmall(t, dir).release(t.Context(), io.Discard, "v0.3.0", fine); err != nil {
		t.Error(err)
	}
}

func TestReleaseThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		before  func(t *testing.T, dir string)
		check   func(*stage, string) error
		says    []string
	}{
		"no version":        {version: "", says: []string{"VERSION is missing"}},
		"malformed version": {version: "0.2", says: []string{"VERSION=0.2 is no version"}},
		"changed file": {version: "v0.2.0", says: []string{"not committed", "small.go"},
			before: func(t *testing.T, dir string) {
				write(t, dir, map[string]string{"small.go": "package small\n"})
			}},
		"new file": {version: "v0.2.0", says: []string{"not committed", "new.go"},
			before: func(t *testing.T, dir string) {
				write(t, dir, map[string]string{"new.go": "package small\n"})
			}},
		"tag of a nested module": {version: "v0.2.0", says: []string{"there is a tag kit/v0.2.0 already"},
			before: func(t *testing.T, dir string) {
				if _, err := git(t.Context(), dir, "tag", "kit/v0.2.0"); err != nil {
					t.Fatal(err)
				}
			}},
		"no heading":      {version: "v0.2.1", says: []string{`CHANGELOG.md has no heading "## 0.2.1"`}},
		"not good enough": {version: "v0.2.0", check: broken, says: []string{"broken"}},
		"commit is refused": {version: "v0.2.0", says: []string{"no commits today"},
			before: func(t *testing.T, dir string) {
				hook(t, dir, "pre-commit", "echo no commits today >&2; exit 1")
			}},
		"commit is changed": {version: "v0.2.0", says: []string{
			"is committed, and has no tags", "not what was checked",
		}, before: func(t *testing.T, dir string) {
			hook(t, dir, "pre-commit", "echo more >more && git add more")
		}},
		"a git that makes no tags": {version: "v0.2.0", says: []string{
			"is committed, and has no tags", "no tag of the kit",
		}, before: func(t *testing.T, dir string) {
			hook(t, dir, "reference-transaction",
				`[ "$1" = prepared ] && grep -q refs/tags/kit && echo no tag of the kit >&2 && exit 1; exit 0`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newSmall(t, nil)
			if c.before != nil {
				c.before(t, dir)
			}
			if c.check == nil {
				c.check = fine
			}
			before := state(t, dir)
			wantError(t, openSmall(t, dir).release(t.Context(), io.Discard, c.version, c.check), c.says...)
			after := state(t, dir)
			if strings.Contains(c.says[0], "is committed") {
				if tags, err := git(t.Context(), dir, "tag"); err != nil || tags != "" {
					t.Errorf("tags are left: %s %v", tags, err)
				}
			} else if after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// TestReleaseLosesNoEdit: an edit during the check is kept, and is not released unchecked.
func TestReleaseLosesNoEdit(t *testing.T) {
	dir := newSmall(t, nil)
	const edit = "module github.com/example/small/kit // edited\n"
	during := func(*stage, string) error {
		return os.WriteFile(filepath.Join(dir, "kit/go.mod"), []byte(edit), 0o644)
	}
	wantError(
		t,
		openSmall(t, dir).release(t.Context(), io.Discard, "v0.2.0", during),
		"has changed since",
		"kit/go.mod",
	)
	if got := read(t, dir, "kit/go.mod"); got != edit {
		t.Errorf("kit/go.mod is\n%s", got)
	}
	dir = newSmall(t, nil)
	meanwhile := func(*stage, string) error {
		write(t, dir, map[string]string{"small.go": "package small // edited\n"})
		_, err := git(t.Context(), dir, "commit", "--quiet", "--all", "--message", "Meanwhile")
		return err
	}
	wantError(t, openSmall(t, dir).release(t.Context(), io.Discard, "v0.2.0", meanwhile), "new commit")
	if got, err := git(t.Context(), dir, "status", "--porcelain"); err != nil || got != "" {
		t.Errorf("left: %s %v", got, err)
	}
	if got := read(t, dir, "small.go"); got != "package small // edited\n" {
		t.Errorf("small.go is\n%s", got)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{
		nil, {"check"}, {"make"}, {"tidy", "now"}, {"check", "v0.1.0", "v0.2.0"}, {"publish", "v0.1.0"},
	} {
		wantError(t, run(t.Context(), io.Discard, args), "usage: release")
	}
}

func hook(t *testing.T, dir, name, script string) {
	t.Helper()
	name = filepath.Join(dir, ".git/hooks", name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
