package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// smallUsers are programs that use the small repository's modules, by the modules' directories.
var smallUsers = map[string]string{
	"kit": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"github.com/example/small/kit\"\n)\n\nfunc main() { " +
		"fmt.Println(kit.Name()) }\n",
	"standin": "package main\n\nimport (\n\t\"fmt\"\n\n\tother \"example.org/other/v3\"\n)\n\nfunc main() { " +
		"fmt.Println(other.Name()) }\n",
}

func newSmallStage(t *testing.T, dir, version string) (*stage, *user) {
	t.Helper()
	s, err := newStage(t.Context(), openSmall(t, dir), version, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	u, err := newUser(t.Context(), s, filepath.Join(t.TempDir(), "user"), false)
	if err != nil {
		t.Fatal(err)
	}
	return s, u
}

// TestUsersGetWhatIsPacked: users also get uncommitted files, and no file of the repository
// changes.
func TestUsersGetWhatIsPacked(t *testing.T) {
	dir := newSmall(t, nil)
	write(t, dir, map[string]string{"small.go": "package small\n\nfunc Name() string { return \"changed\" }\n"})
	before, err := git(t.Context(), dir, "status", "--porcelain")
	if err != nil {
		t.Fatal(err)
	}
	s, u := newSmallStage(t, dir, "v0.2.0")

	program, err := u.install(t.Context(), s.at("a/prog"))
	if err != nil {
		t.Fatal(err)
	}
	if says, err := u.run(t.Context(), u.dir, program); err != nil || says != "changed changed kit" {
		t.Errorf("the installed program says %q, %v", says, err)
	}
	for where, want := range map[string]string{"kit": "changed kit", "standin": "changed"} {
		source := t.TempDir()
		write(t, source, map[string]string{"main.go": smallUsers[where]})
		program, err := u.build(t.Context(), s.at(where), source)
		if err != nil {
			t.Fatal(err)
		}
		if says, err := u.run(t.Context(), u.dir, program); err != nil || says != want {
			t.Errorf("a program with %s says %q, %v", where, says, err)
		}
	}
	for _, m := range s.modules {
		if m.released {
			if err := u.checkout(t.Context(), m); err != nil {
				t.Error(err)
			}
		}
	}
	if after, err := git(t.Context(), dir, "status", "--porcelain"); err != nil || after != before {
		t.Errorf("the repository was changed: %s, %v", after, err)
	}
}

// TestUsersFindWhatIsWrong: faults that show only outside of the checkout are found.
func TestUsersFindWhatIsWrong(t *testing.T) {
	t.Run("a file that git ignores is needed", func(t *testing.T) {
		dir := newSmall(
			t,
			map[string]string{
				"kit/kit.go":     "package kit\n\nfunc Name() string { return ignored }\n",
				".gitignore":     "ignored.go\n",
				"kit/ignored.go": "package kit\n\nconst ignored = \"\"\n",
			},
		)
		s, u := newSmallStage(t, dir, "v0.2.0")
		_, err := u.install(t.Context(), s.at("a/prog"))
		wantError(t, err, "undefined: ignored")
	})
	t.Run("a checkout is not tidy", func(t *testing.T) {
		dir := newSmall(t, map[string]string{"kit/kit.go": "package kit\n\nfunc Name() string { return \"kit\" }\n"})
		s, u := newSmallStage(t, dir, "v0.2.0")
		wantError(t, u.checkout(t.Context(), s.at("kit")), "-require github.com/example/small v0.2.0")
	})
	t.Run("a program without the module", func(t *testing.T) {
		s, u := newSmallStage(t, newSmall(t, nil), "v0.2.0")
		source := t.TempDir()
		write(t, source, map[string]string{"main.go": "package main\n\nfunc main() {}\n"})
		_, err := u.build(t.Context(), s.at("kit"), source)
		wantError(t, err, "built without github.com/example/small/kit")
	})
}

// TestPackedAsGoPacksTags: Go makes the same of a repository with the tags of a release as was
// tried out and as go.sum says.
func TestPackedAsGoPacksTags(t *testing.T) {
	dir := newSmall(t, nil)
	var s *stage
	if err := openSmall(t, dir).release(t.Context(), io.Discard, "v0.2.0",
		func(made *stage, _ string) error { s = made; return nil }); err != nil {
		t.Fatal(err)
	}
	modules := t.TempDir()
	from := append(
		os.Environ(),
		"GOPROXY=direct",
		"GONOSUMDB=*",
		"GOWORK=off",
		"GOMODCACHE="+modules,
		"GOFLAGS=-modcacherw",
		"GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=url.file://"+dir+".insteadOf",
		"GIT_CONFIG_VALUE_0=https://github.com/example/small",
	)
	program := t.TempDir()
	write(t, program, map[string]string{"go.mod": "module example.com/program\n\ngo 1.26.0\n\nrequire (\n" +
		"\texample.org/other/v3 v3.7.3\n\tgithub.com/example/small v0.2.0\n\tgithub.com/example/small/a/prog " +
		"v0.2.0\n\tgithub.com/example/small/kit v0.2.0\n)\n\n" +
		"replace example.org/other/v3 => github.com/example/small/standin/v3 v3.2.0\n"})
	cmd := exec.Command("go", "mod", "download", "-json", "all")
	cmd.Dir, cmd.Env = program, from
	out, err := output(cmd)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for dec := json.NewDecoder(strings.NewReader(out)); dec.More(); {
		var m struct{ Path, Sum string }
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		got[m.Path] = m.Sum
	}
	if len(s.packed) != 4 {
		t.Errorf("%d modules were packed", len(s.packed))
	}
	for _, p := range s.packed {
		if sum := got[p.of.Path]; sum != p.sums[0].hash {
			t.Errorf("%s was packed as %s, Go packs its tag as %q", p.of, p.sums[0].hash, sum)
		}
	}
	sums := read(t, dir, "a/prog/go.sum")
	if !strings.Contains(sums, "github.com/example/small/kit v0.2.0 "+got["github.com/example/small/kit"]+"\n") {
		t.Errorf("a/prog/go.sum is\n%s", sums)
	}
}
