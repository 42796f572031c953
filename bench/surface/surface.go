// Package surface compares what two Go packages export: everything that one package has must exist
// in the other with the same meaning, so that a program compiles against either.
//
// Of a struct it compares the exported fields with their types and tags; the other side may have
// more. Interfaces must have exactly the same methods, since one more would break other people's
// implementations. Constants must have the same values.
package surface

import (
	"fmt"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// Pair is one of their packages and the one that replaces it here.
type Pair struct{ Theirs, Ours string }

// Compare loads both packages of each pair and lists what is missing or different in ours. Types
// of one package of a pair count as equal to those of the same name in the other, for all pairs.
func Compare(dir string, pairs []Pair) ([]string, error) {
	var paths []string
	for _, p := range pairs {
		paths = append(paths, p.Theirs, p.Ours)
	}
	byPath, err := load(dir, paths)
	if err != nil {
		return nil, err
	}
	c := newComparer(pairs)
	for _, p := range pairs {
		c.packages(byPath[p.Theirs], byPath[p.Ours])
	}
	return c.found, nil
}

// CompareForwarding lists what is missing, different or superfluous in forwarding packages. They
// are in another directory, where a module has them at the paths of theirs.
func CompareForwarding(dir, module string, pairs []Pair) ([]string, error) {
	var paths []string
	for _, p := range pairs {
		paths = append(paths, p.Theirs)
	}
	theirs, err := load(dir, paths)
	if err != nil {
		return nil, err
	}
	forwarding, err := load(module, paths)
	if err != nil {
		return nil, err
	}
	c := newComparer(pairs)
	for _, path := range paths {
		c.packages(theirs[path], forwarding[path])
		for _, name := range forwarding[path].Scope().Names() {
			if !token.IsExported(name) {
				continue
			}
			if theirs[path].Scope().Lookup(name) == nil {
				c.report("%s.%s is not theirs", path, name)
			}
			if t, ok := forwarding[path].Scope().Lookup(name).(*types.TypeName); ok && !t.IsAlias() {
				c.report("%s.%s is a type of its own", path, name)
			}
		}
	}
	return c.found, nil
}

// load returns the packages as they are found from a directory, by path.
func load(dir string, paths []string) (map[string]*types.Package, error) {
	// What the compiler exports is enough. The sources of all that is imported would take a minute.
	cfg := &packages.Config{
		Dir:  dir,
		Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedExportFile,
	}
	list, err := packages.Load(cfg, paths...)
	if err != nil {
		return nil, err
	}
	byPath := make(map[string]*types.Package)
	for _, p := range list {
		for _, e := range p.Errors {
			return nil, fmt.Errorf("%s: %w", p.PkgPath, e)
		}
		byPath[p.PkgPath] = p.Types
	}
	for _, path := range paths {
		if byPath[path] == nil {
			return nil, fmt.Errorf("%s was not loaded", path)
		}
	}
	return byPath, nil
}

type comparer struct {
	rename map[string]string // their package's path to the path of ours
	found  []string
}

func newComparer(pairs []Pair) *comparer {
	c := &comparer{rename: make(map[string]string)}
	for _, p := range pairs {
		c.rename[p.Theirs] = p.Ours
	}
	return c
}

func (c *comparer) report(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// text formats a type with their packages under our names.
func (c *comparer) text(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if to, ok := c.rename[p.Path()]; ok {
			return to
		}
		return p.Path()
	})
}

func (c *comparer) packages(theirs, ours *types.Package) {
	for _, name := range theirs.Scope().Names() {
		a := theirs.Scope().Lookup(name)
		if !a.Exported() {
			continue
		}
		full := ours.Path() + "." + name
		b := ours.Scope().Lookup(name)
		if b == nil {
			c.report("%s is missing", full)
			continue
		}
		c.objects(full, a, b)
	}
}

func (c *comparer) objects(name string, a, b types.Object) {
	switch a := a.(type) {
	case *types.Const:
		b, ok := b.(*types.Const)
		if !ok {
			c.report("%s is not a constant", name)
		} else if c.text(a.Type()) != c.text(b.Type()) || a.Val().ExactString() != b.Val().ExactString() {
			c.report("%s is %s %s, want %s %s", name, c.text(b.Type()), b.Val(), c.text(a.Type()), a.Val())
		}
	case *types.Var:
		if _, ok := b.(*types.Var); !ok || c.text(a.Type()) != c.text(b.Type()) {
			c.report("%s is %s, want %s", name, c.text(b.Type()), c.text(a.Type()))
		}
	case *types.Func:
		if _, ok := b.(*types.Func); !ok || c.text(a.Type()) != c.text(b.Type()) {
			c.report("%s is %s, want %s", name, c.text(b.Type()), c.text(a.Type()))
		}
	case *types.TypeName:
		b, ok := b.(*types.TypeName)
		if !ok {
			c.report("%s is not a type", name)
			return
		}
		c.types(name, a, c.forwarded(a, b))
	}
}

// forwarded returns the type of ours that b is an alias of, if that type stands for a; else b.
func (c *comparer) forwarded(a, b *types.TypeName) *types.TypeName {
	n, ok := types.Unalias(b.Type()).(*types.Named)
	if ok && n.Obj().Name() == a.Name() && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == c.rename[a.Pkg().Path()] {
		return n.Obj()
	}
	return b
}

func (c *comparer) types(name string, a, b *types.TypeName) {
	if a.IsAlias() != b.IsAlias() {
		c.report("%s: an alias in one package and a type of its own in the other", name)
		return
	}
	if a.IsAlias() {
		if c.text(types.Unalias(a.Type())) != c.text(types.Unalias(b.Type())) {
			c.report(
				"%s is an alias of %s, want %s",
				name,
				c.text(types.Unalias(b.Type())),
				c.text(types.Unalias(a.Type())),
			)
		}
		return
	}
	switch ua := a.Type().Underlying().(type) {
	case *types.Struct:
		ub, ok := b.Type().Underlying().(*types.Struct)
		if !ok {
			c.report("%s is not a struct", name)
			return
		}
		c.fields(name, ua, ub)
	case *types.Interface:
		if c.text(ua) != c.text(b.Type().Underlying()) {
			c.report("%s is %s, want %s", name, c.text(b.Type().Underlying()), c.text(ua))
		}
		return
	default:
		if c.text(ua) != c.text(b.Type().Underlying()) {
			c.report("%s is %s, want %s", name, c.text(b.Type().Underlying()), c.text(ua))
		}
	}
	c.methods(name, a.Type(), b.Type())
	c.methods("*"+name, types.NewPointer(a.Type()), types.NewPointer(b.Type()))
}

func (c *comparer) fields(name string, a, b *types.Struct) {
	ours := make(map[string]int)
	for i := range b.NumFields() {
		ours[b.Field(i).Name()] = i
	}
	for i := range a.NumFields() {
		f := a.Field(i)
		if !f.Exported() {
			continue
		}
		j, ok := ours[f.Name()]
		switch {
		case !ok:
			c.report("%s.%s is missing", name, f.Name())
		case c.text(f.Type()) != c.text(b.Field(j).Type()) || f.Embedded() != b.Field(j).Embedded():
			c.report("%s.%s is %s, want %s", name, f.Name(), c.text(b.Field(j).Type()), c.text(f.Type()))
		case a.Tag(i) != b.Tag(j):
			c.report("%s.%s has tag %q, want %q", name, f.Name(), b.Tag(j), a.Tag(i))
		}
	}
}

func (c *comparer) methods(name string, a, b types.Type) {
	ma, mb := types.NewMethodSet(a), types.NewMethodSet(b)
	ours := make(map[string]string)
	for i := range mb.Len() {
		ours[mb.At(i).Obj().Name()] = c.text(mb.At(i).Type())
	}
	for i := range ma.Len() {
		m := ma.At(i).Obj()
		if !m.Exported() {
			continue
		}
		got, ok := ours[m.Name()]
		if want := c.text(ma.At(i).Type()); !ok {
			c.report("%s has no method %s", name, m.Name())
		} else if got != want {
			c.report("%s.%s is %s, want %s", name, m.Name(), strings.TrimPrefix(got, "func"),
				strings.TrimPrefix(want, "func"))
		}
	}
	slices.Sort(c.found)
}
