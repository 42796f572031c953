// Package migrate moves Go programs from the official etcd client, at its present and earlier
// paths, and from go-kit's package for etcd to ours. Either only import paths change (New): the
// packages have the same names and the same API. Or only go.mod changes (NewReplacement), so that
// dependencies use our client too. It lists the places on which a person has to decide.
//
// It makes a plan first, which changes nothing, can be shown as a difference, and can be applied.
package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/fairlead-go/fairlead/internal/wholefile"
)

// Plan is the changes that a migration makes in a directory.
type Plan struct {
	Files   []File   // those that change, by path
	Looks   []Look   // by path and line
	Scanned int      // Go files that were read
	Modules []string // modules that are needed beside the root module, by path: adapters
}

// File is a file that changes.
type File struct {
	Path     string // as found below the given directory
	Imports  int    // paths that change
	Old, New []byte // Old is nil if there is no such file yet
}

// Look is a place that a person should look at.
type Look struct {
	Path string
	Line int
	Why  string
}

func (l Look) String() string {
	if l.Line == 0 {
		return fmt.Sprintf("%s: %s", l.Path, l.Why)
	}
	return fmt.Sprintf("%s:%d: %s", l.Path, l.Line, l.Why)
}

// New reads the Go files below dir, or one file, and makes a plan. It leaves out directories that
// the go command ignores (their names begin with a point or an underscore) and vendor. Files that
// do not parse are listed and not changed. Modules further down change too, and are listed, since
// each needs a change of its own go.mod.
func New(dir string) (*Plan, error) {
	p := &Plan{}
	dir, err := filepath.EvalSymlinks(dir) // WalkDir does not follow a link to a directory
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != dir && (name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				if name == "vendor" {
					p.look(path, 0, `copies of dependencies: run "go mod vendor" after the migration`)
				}
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		if !d.Type().IsRegular() {
			p.look(path, 0, "a link: the file that it leads to is left alone")
			return nil
		}
		return p.scan(path)
	})
	if err != nil {
		return nil, err
	}
	p.nested(dir)
	slices.SortStableFunc(p.Looks, func(a, b Look) int {
		if a.Path != b.Path {
			return strings.Compare(a.Path, b.Path)
		}
		return a.Line - b.Line
	})
	return p, nil
}

// nested lists the modules below dir with files that change.
func (p *Plan) nested(dir string) {
	seen := make(map[string]bool)
	for _, f := range p.Files {
		for d := filepath.Dir(f.Path); d != dir && len(d) > len(dir) && !seen[d]; d = filepath.Dir(d) {
			if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
				seen[d] = true
				p.look(d, 0, "a module of its own: its go.mod needs the same as the one above")
				break
			}
		}
	}
}

// need notes the module of an imported adapter.
func (p *Plan) need(imported string) {
	for path, module := range map[string]string{goKit: goKitModule, kratos: kratosModule} {
		if strings.HasPrefix(imported, path) && !slices.Contains(p.Modules, module) {
			p.Modules = append(p.Modules, module)
			slices.Sort(p.Modules)
		}
	}
}

func (p *Plan) look(path string, line int, why string) {
	p.Looks = append(p.Looks, Look{path, line, why})
}

func (p *Plan) scan(path string) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	p.Scanned++
	if !mentions(src) {
		return nil
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		p.look(path, 0, "does not parse and was left alone: "+err.Error())
		return nil
	}
	out, n := p.rewrite(path, src, fset, f)
	if n == 0 {
		return nil
	}
	before := src
	if crlf(src) {
		before = lf(src)
	}
	if tidy, err := format.Source(before); err == nil && bytes.Equal(tidy, before) {
		if tidy, err := format.Source(out); err == nil {
			out = asBefore(src, tidy) // the order of imports may have changed
		}
	}
	p.Files = append(p.Files, File{Path: path, Imports: n, Old: src, New: out})
	return nil
}

// mentions reports fast whether a file may need a change.
func mentions(src []byte) bool {
	for _, m := range moved {
		if bytes.Contains(src, []byte(m.from)) {
			return true
		}
	}
	return false
}

// rewrite returns src with new import paths, and the number of them.
func (p *Plan) rewrite(path string, src []byte, fset *token.FileSet, f *ast.File) (out []byte, n int) {
	line := func(n ast.Node) int { return fset.Position(n.Pos()).Line }
	inImports := make(map[int]bool) // lines
	targets := make(map[string]int) // new path: line
	names := make(map[string]string)
	for _, spec := range f.Imports {
		if old, err := strconv.Unquote(spec.Path.Value); err == nil {
			targets[old] = line(spec)
		}
	}
	last := 0
	for _, spec := range f.Imports {
		inImports[line(spec)] = true
		old, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		to, why := translate(old)
		if why != "" {
			p.look(path, line(spec), old+": "+why)
		}
		if to == "" {
			continue
		}
		if other, twice := targets[to]; twice {
			p.look(path, line(spec), fmt.Sprintf("imports %s a second time, as line %d does: remove one", to, other))
		}
		targets[to] = line(spec)
		p.need(to)
		name := packageName(to)
		if spec.Name != nil {
			name = spec.Name.Name
		} else if packageName(to) != oldName(old) {
			p.look(path, line(spec),
				fmt.Sprintf("the package was called %s and is called %s now", oldName(old), packageName(to)))
		}
		names[name] = to
		begin, end := fset.Position(spec.Path.Pos()).Offset, fset.Position(spec.Path.End()).Offset
		out = append(append(out, src[last:begin]...), strconv.Quote(to)...)
		last = end
		n++
	}
	out = append(out, src[last:]...)
	p.uses(path, fset, f, names)
	for i, l := range bytes.Split(src, []byte("\n")) {
		if !inImports[i+1] && mentions(l) {
			p.look(path, i+1, "names an old path outside of the imports: "+strings.TrimSpace(string(l)))
		}
	}
	return out, n
}

// uses lists the names that the program uses from packages which we do not have, or not any more:
// the API at the old paths differs.
func (p *Plan) uses(path string, fset *token.FileSet, f *ast.File, names map[string]string) {
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		id, ok := sel.X.(*ast.Ident)
		if !ok || id.Obj != nil { // a variable of that name
			return true
		}
		if to, ok := names[id.Name]; ok && !exported(to, sel.Sel.Name) {
			p.look(path, fset.Position(sel.Pos()).Line, fmt.Sprintf("%s has no %s", to, sel.Sel.Name))
		}
		return true
	})
}

// Diff returns the plan's difference in the unified format.
func (p *Plan) Diff() string {
	var b strings.Builder
	for _, f := range p.Files {
		b.WriteString(udiff.Unified(f.Path+" (before)", f.Path+" (after)", string(f.Old), string(f.New)))
	}
	return b.String()
}

// Apply writes the files. Each is replaced as a whole or not at all. A file that has changed since
// the plan was made is an error, and the files after it stay unchanged.
func (p *Plan) Apply() error {
	for i, f := range p.Files {
		if err := replace(f); err != nil {
			return fmt.Errorf("%d of %d files written: %w", i, len(p.Files), err)
		}
	}
	return nil
}

func replace(f File) (err error) {
	if to, err := filepath.EvalSymlinks(f.Path); err == nil {
		f.Path = to // the file changes, not the link to it
	}
	now, err := os.ReadFile(f.Path)
	if err != nil && (f.Old != nil || !errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	if !bytes.Equal(now, f.Old) {
		return fmt.Errorf("%s has changed meanwhile", f.Path)
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(f.Path); err == nil {
		mode = info.Mode()
	}
	return wholefile.Write(f.Path, f.New, mode)
}
