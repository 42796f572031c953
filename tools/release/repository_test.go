package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestModulesAreFoundInOrder(t *testing.T) {
	r := openSmall(t, newSmall(t, nil))
	place := make(map[string]int)
	for i, m := range r.modules {
		place[m.path] = i
		if want := m.dir != "tests"; m.released != want {
			t.Errorf("%s: released is %v", m.path, m.released)
		}
	}
	for _, path := range []string{"", "/a/prog", "/kit", "/standin/v3", "/tests"} {
		if _, ok := place["github.com/example/small"+path]; !ok {
			t.Errorf("no module %q in %v", path, place)
		}
	}
	if !(place["github.com/example/small"] < place["github.com/example/small/kit"] &&
		place["github.com/example/small/kit"] < place["github.com/example/small/a/prog"] &&
		place["github.com/example/small/kit"] < place["github.com/example/small/tests"]) {
		t.Errorf("a module comes before what it requires: %v", place)
	}
	if err := r.check(); err != nil {
		t.Error(err)
	}
}

// TestWorkingTreeAsGitSeesIt: uncommitted files count, ignored or deleted files do not.
func TestWorkingTreeAsGitSeesIt(t *testing.T) {
	dir := newSmall(t, nil)
	write(t, dir, map[string]string{"out/go.mod": "module ignored\n", "new.go": "package small\n"})
	if err := os.Remove(filepath.Join(dir, "small.go")); err != nil {
		t.Fatal(err)
	}
	files, err := visible(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(files, "new.go") || slices.Contains(files, "small.go") || slices.Contains(files, "out/go.mod") {
		t.Error(files)
	}
}

func TestRepositoriesThatCannotBeReleased(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]string
		says   []string
	}{
		"replace of ours": {map[string]string{
			"kit/go.mod": small["kit/go.mod"] + "\nreplace github.com/example/small => ../\n",
		},
			[]string{"kit/go.mod replaces github.com/example/small"}},
		"replace of ours in one that is not released": {map[string]string{
			"tests/go.mod": small["tests/go.mod"] + "\nreplace github.com/example/small/kit => ../kit\n",
		},
			[]string{"tests/go.mod replaces github.com/example/small/kit"}},
		"replace of another's": {map[string]string{
			"kit/go.mod": small["kit/go.mod"] + "\nreplace example.org/x => example.org/y v1.0.0\n",
		},
			[]string{"kit/go.mod replaces example.org/x"}},
		"exclude": {map[string]string{"kit/go.mod": small["kit/go.mod"] + "\nexclude example.org/x v1.0.0\n"}, []string{
			"kit/go.mod excludes",
		}},
		"requires what is not released": {map[string]string{"kit/go.mod": small["kit/go.mod"] +
			"\nrequire github.com/example/small/more v0.1.0\n",
			"more/go.mod": "module github.com/example/small/more\n"},
			[]string{"kit/go.mod requires github.com/example/small/more"}},
		"circle": {map[string]string{
			"go.mod": small["go.mod"] + "\nrequire github.com/example/small/kit v0.1.0\n",
		}, []string{"in a circle"}},
		"malformed": {map[string]string{"kit/go.mod": "modul x\n"}, []string{"kit/go.mod", "modul"}},
		"no module": {map[string]string{"kit/go.mod": "go 1.26.0\n"}, []string{"kit/go.mod names no module"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := open(t.Context(), newSmall(t, c.change), smallReleased)
			if err == nil {
				err = r.check()
			}
			wantError(t, err, c.says...)
		})
	}
	t.Run("a released module is missing", func(t *testing.T) {
		_, err := open(t.Context(), newSmall(t, nil), append(smallReleased, "lost"))
		wantError(t, err, "no go.mod in lost")
	})
	t.Run("a replace in one that is not released is its own business", func(t *testing.T) {
		r := openSmall(
			t,
			newSmall(
				t,
				map[string]string{
					"tests/go.mod": small["tests/go.mod"] + "\nreplace example.org/other/v3 => ../standin\n",
				},
			),
		)
		if err := r.check(); err != nil {
			t.Error(err)
		}
	})
}

func TestSetVersions(t *testing.T) {
	dir := newSmall(t, nil)
	if err := openSmall(t, dir).setVersions("v0.2.0"); err != nil {
		t.Fatal(err)
	}
	for name := range small {
		switch base := filepath.Base(name); base {
		case "go.mod", "go.work":
			want := strings.ReplaceAll(small[name], "v0.1.0", "v0.2.0")
			if got := read(t, dir, name); got != want {
				t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
			}
		}
	}
	if err := openSmall(t, dir).setVersions("v0.2.0"); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{".", "kit", "a/prog", "standin", "tests"} {
		cmd := exec.Command("go", "vet", "./...")
		cmd.Dir = filepath.Join(dir, where)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("in %s, with go.work: %v\n%s", where, err, out)
		}
	}
}

// TestWorkspaceLearnsWhatIsRequired: a module that others start to require gets its line in
// go.work.
func TestWorkspaceLearnsWhatIsRequired(t *testing.T) {
	dir := newSmall(t, map[string]string{"go.work": "go 1.26.0\n\nuse (\n\t.\n\t./kit\n\t./tests\n)\n"})
	if err := openSmall(t, dir).setVersions("v0.1.0"); err != nil {
		t.Fatal(err)
	}
	got := read(t, dir, "go.work")
	for _, want := range []string{
		"github.com/example/small v0.1.0 => .\n", "github.com/example/small/kit v0.1.0 => ./kit\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestTidy(t *testing.T) {
	dir := newSmall(t, nil)
	if err := openSmall(t, dir).tidy(t.Context(), true); err != nil {
		t.Errorf("a tidy repository: %v", err)
	}
	// Lines of a release are kept, whatever became of their modules. Lines of other modules must
	// be right.
	ours := "github.com/example/small v0.1.0 h1:abc=\ngithub.com/example/small v0.1.0/go.mod h1:def=\n"
	stray := "example.org/stray v1.0.0 h1:abc=\n"
	write(t, dir, map[string]string{"kit/go.sum": ours})
	if err := openSmall(t, dir).tidy(t.Context(), true); err != nil {
		t.Errorf("with lines of ours: %v", err)
	}
	write(t, dir, map[string]string{
		"kit/go.sum": stray + ours,
		"kit/go.mod": strings.Replace(small["kit/go.mod"], "v0.1.0", "v0.1.0 // indirect", 1),
	})
	wantError(t, openSmall(t, dir).tidy(t.Context(), true), "make tidy", "kit/go.mod", "kit/go.sum")
	if got := read(t, dir, "kit/go.sum"); got != stray+ours {
		t.Errorf("a check changed kit/go.sum to\n%s", got)
	}
	if err := openSmall(t, dir).tidy(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "kit/go.mod"); got != small["kit/go.mod"] {
		t.Errorf("kit/go.mod is\n%s", got)
	}
	if got := read(t, dir, "kit/go.sum"); got != ours {
		t.Errorf("kit/go.sum is\n%s", got)
	}
}
