package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// setVersions makes every module require the others of this repository in the versions of a
// release, and makes every go.work say that those versions are in the directories beside it. Go
// reads the go.mod of a required version even if the workspace has the module, and would otherwise
// look for it where modules are published.
func (r *repository) setVersions(version string) error {
	for _, m := range r.modules {
		for _, other := range r.requires(m) {
			if err := m.file.AddRequire(other.path, other.version(version)); err != nil {
				return err
			}
		}
		text, err := m.file.Format()
		if err != nil {
			return err
		}
		if err := replaceFile(r.file(m.dir, "go.mod"), text); err != nil {
			return err
		}
	}
	for _, name := range r.works {
		if err := r.setWork(name, version); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (r *repository) setWork(name, version string) error {
	old, err := os.ReadFile(r.file(name))
	if err != nil {
		return err
	}
	f, err := modfile.ParseWork(name, old, nil)
	if err != nil {
		return err
	}
	for _, m := range r.needed(name, f) {
		if i := slices.IndexFunc(f.Replace, func(rep *modfile.Replace) bool { return rep.Old.Path == m.path }); i >= 0 {
			// A line that is changed in its place keeps its comment. A line for all versions stays
			// as it is.
			line := f.Replace[i].Syntax
			if at := slices.Index(line.Token, f.Replace[i].Old.Version); at >= 0 {
				line.Token[at] = m.version(version)
			}
			continue
		}
		dir, err := filepath.Rel(filepath.Dir(r.file(name)), r.file(m.dir))
		if err != nil {
			return err
		}
		if dir = filepath.ToSlash(dir); !strings.HasPrefix(dir, ".") {
			dir = "./" + dir
		}
		if err := f.AddReplace(m.path, m.version(version), dir, ""); err != nil {
			return err
		}
	}
	f.Cleanup()
	return replaceFile(r.file(name), modfile.Format(f.Syntax))
}

// needed returns our modules that the modules of a workspace require.
func (r *repository) needed(name string, f *modfile.WorkFile) []*mod {
	var list []*mod
	for _, use := range f.Use {
		dir := filepath.ToSlash(filepath.Join(filepath.Dir(name), use.Path))
		if m := r.at(dir); m != nil {
			list = append(list, r.requires(m)...)
		}
	}
	slices.SortFunc(list, func(a, b *mod) int { return strings.Compare(a.path, b.path) })
	return slices.Compact(list)
}

func (r *repository) file(elem ...string) string {
	return filepath.Join(r.dir, filepath.FromSlash(strings.Join(elem, "/")))
}

// replaceFile writes a file only if its content changes.
func replaceFile(name string, text []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return os.WriteFile(name, text, 0o644)
}

// sum is a line of a go.sum, for a module, or with "/go.mod" after the version for its go.mod
// alone.
type sum struct {
	of   module.Version
	hash string
}

func parseSums(text []byte) ([]sum, error) {
	var sums []sum
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("malformed line %q", line)
		}
		sums = append(sums, sum{module.Version{Path: f[0], Version: f[1]}, f[2]})
	}
	return sums, nil
}

func formatSums(sums []sum) []byte {
	var order []module.Version
	hash := make(map[module.Version]string)
	for _, s := range sums {
		if _, ok := hash[s.of]; !ok {
			order = append(order, s.of)
		}
		hash[s.of] = s.hash
	}
	module.Sort(order) // as Go does
	var b bytes.Buffer
	for _, v := range order {
		fmt.Fprintln(&b, v.Path, v.Version, hash[v])
	}
	return b.Bytes()
}

// others returns the lines for modules that are not in this repository.
func (r *repository) others(sums []sum) []sum {
	return slices.DeleteFunc(slices.Clone(sums), func(s sum) bool { return r.byPath(s.of.Path) != nil })
}

// readSums reads a module's go.sum; a missing file has no lines.
func (r *repository) readSums(m *mod) ([]sum, error) {
	text, err := os.ReadFile(r.file(m.dir, "go.sum"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sums, err := parseSums(text)
	if err != nil {
		return nil, fmt.Errorf("%s/go.sum: %w", m.dir, err)
	}
	return sums, nil
}
