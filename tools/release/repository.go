package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// released are the modules that users get, by their directories. All others (bench, chaos, compat,
// console/browser, examples, reach, tools and the modules in it) serve work on this repository:
// they are run from a checkout and get no tags.
var released = []string{
	".",
	"adapters/gokit",
	"adapters/kratos",
	"adapters/otel",
	"adapters/prom",
	"cmd/fairlead",
	"dropin",
	"xds",
}

// repository is a directory with modules in it: a checkout, or a copy of one.
type repository struct {
	dir      string
	prefix   string   // path of the root module: all our paths begin with it
	released []string // directories of the modules that users get
	modules  []*mod   // each after the modules that it requires
	works    []string // every go.work
}

// mod is one module of the repository.
type mod struct {
	dir      string // below the repository, with slashes; "." for the root
	path     string // the path that users write
	released bool
	file     *modfile.File
	// major is set for a stand-in: a module that declares the path of somebody else's module with
	// a major version, such as "v3". Its own path consists of its directory and this.
	major string
}

// open reads the modules of a repository: every go.mod that git sees.
func open(ctx context.Context, dir string, released []string) (*repository, error) {
	files, err := visible(ctx, dir)
	if err != nil {
		return nil, err
	}
	r := &repository{dir: dir, released: released}
	for _, name := range files {
		switch path.Base(name) {
		case "go.work":
			r.works = append(r.works, name)
		case "go.mod":
			m, err := readMod(dir, name)
			if err != nil {
				return nil, err
			}
			m.released = slices.Contains(released, m.dir)
			r.modules = append(r.modules, m)
		}
	}
	for _, want := range released {
		if r.at(want) == nil {
			return nil, fmt.Errorf("%s: no go.mod in %s, which is to be released", dir, want)
		}
	}
	if root := r.at("."); root != nil {
		r.prefix = root.file.Module.Mod.Path
	}
	for _, m := range r.modules {
		r.name(m)
	}
	return r, r.sort()
}

func readMod(dir, name string) (*mod, error) {
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	f, err := modfile.Parse(name, text, nil)
	if err != nil {
		return nil, err
	}
	if f.Module == nil {
		return nil, fmt.Errorf("%s names no module", name)
	}
	return &mod{dir: path.Dir(name), file: f}, nil
}

// name sets the path under which users know the module.
func (r *repository) name(m *mod) {
	m.path = m.file.Module.Mod.Path
	if m.path == r.prefix || strings.HasPrefix(m.path, r.prefix+"/") {
		return
	}
	_, major, _ := module.SplitPathVersion(m.path)
	m.path, m.major = r.prefix+"/"+m.dir+major, module.PathMajorPrefix(major)
}

func (r *repository) at(dir string) *mod {
	i := slices.IndexFunc(r.modules, func(m *mod) bool { return m.dir == dir })
	if i < 0 {
		return nil
	}
	return r.modules[i]
}

// byPath returns nil for a module that is not in this repository. A stand-in is found only under
// its own path: a requirement of the path that it declares means the module that it stands for.
func (r *repository) byPath(path string) *mod {
	i := slices.IndexFunc(r.modules, func(m *mod) bool { return m.path == path })
	if i < 0 {
		return nil
	}
	return r.modules[i]
}

// requires returns the modules of this repository that a module requires.
func (r *repository) requires(m *mod) []*mod {
	var list []*mod
	for _, req := range m.file.Require {
		if other := r.byPath(req.Mod.Path); other != nil {
			list = append(list, other)
		}
	}
	return list
}

// sort puts each module after the modules that it requires, since its go.sum has their sums.
func (r *repository) sort() error {
	var sorted []*mod
	for len(sorted) < len(r.modules) {
		before := len(sorted)
		for _, m := range r.modules {
			missing := func(o *mod) bool { return !slices.Contains(sorted, o) }
			if missing(m) && !slices.ContainsFunc(r.requires(m), missing) {
				sorted = append(sorted, m)
			}
		}
		if len(sorted) == before {
			return errors.New("modules of this repository require each other in a circle")
		}
	}
	r.modules = sorted
	return nil
}

// check finds what would make a release useless: `go install PATH@VERSION` refuses a go.mod with a
// replace or an exclude, and both mean nothing to a module that requires it.
func (r *repository) check() error {
	var errs []error
	for _, m := range r.modules {
		name := path.Join(m.dir, "go.mod")
		for _, rep := range m.file.Replace {
			if m.released || r.byPath(rep.Old.Path) != nil {
				errs = append(
					errs,
					fmt.Errorf(
						"%s replaces %s: users would not have that; go.work is enough in a checkout",
						name,
						rep.Old.Path,
					),
				)
			}
		}
		if m.released && len(m.file.Exclude) > 0 {
			errs = append(errs, fmt.Errorf("%s excludes versions: users would not have that", name))
		}
		for _, other := range r.requires(m) {
			if m.released && !other.released {
				errs = append(errs, fmt.Errorf("%s requires %s, which is not released", name, other.path))
			}
		}
	}
	return errors.Join(errs...)
}
