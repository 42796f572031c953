package main

import (
	"bytes"
	"fmt"
	"go/doc"
	"go/format"
	"go/types"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// kept are the variables that programs assign. A forwarding package has its own variable of that
// name, and the text here says how our package learns of an assignment.
var kept = map[string]string{
	ours + ".LeaseResponseChSize": "func init() { clientv3.ForwardLeaseResponseChSize(&LeaseResponseChSize) }\n",
}

// file is a package of the drop-in that is being written.
type file struct {
	to      *types.Package
	surface map[string]bool   // the names that the package exports
	imports map[string]string // path: name in the file
	docs    map[string]string
	out     bytes.Buffer
}

// forward returns the text of the package that has the surface of theirs and forwards to ours.
func forward(theirs *types.Package, mine *packages.Package) ([]byte, error) {
	f := &file{to: mine.Types, surface: make(map[string]bool), imports: make(map[string]string), docs: docs(mine)}
	var list []types.Object
	for _, name := range theirs.Scope().Names() {
		if !theirs.Scope().Lookup(name).Exported() {
			continue
		}
		o := f.to.Scope().Lookup(name)
		if o == nil {
			return nil, fmt.Errorf("ours has no %s", name)
		}
		list = append(list, o)
		f.surface[name] = true
	}
	if len(list) > 0 {
		f.imports[f.to.Path()] = f.to.Name()
	}
	// In the order of our files, so that related names stay together.
	slices.SortFunc(list, func(a, b types.Object) int {
		pa, pb := mine.Fset.Position(a.Pos()), mine.Fset.Position(b.Pos())
		if pa.Filename != pb.Filename {
			return strings.Compare(pa.Filename, pb.Filename)
		}
		return pa.Offset - pb.Offset
	})
	f.group("const", list, func(o types.Object) bool { _, ok := o.(*types.Const); return ok })
	f.group("type", list, func(o types.Object) bool { _, ok := o.(*types.TypeName); return ok })
	f.group("var", list, func(o types.Object) bool { v, ok := o.(*types.Var); return ok && isError(v) })
	for _, o := range list {
		var err error
		switch o := o.(type) {
		case *types.Var:
			err = f.variable(o)
		case *types.Func:
			err = f.function(o)
		case *types.TypeName:
			if n, ok := o.Type().(*types.Named); ok && n.TypeParams().Len() > 0 {
				err = fmt.Errorf("%s is generic: forward does not know how to write that", o.Name())
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return f.text()
}

// text formats the whole file with its head.
func (f *file) text() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprint(&b, header, "\n")
	rel := strings.TrimPrefix(f.to.Path(), ours)
	fmt.Fprintf(
		&b,
		"// Package %s is %s\n// under the official client's path %s.\n// Everything here is that package's, whose "+
			"documentation says more.\npackage %s\n",
		f.to.Name(),
		f.to.Path(),
		official+rel,
		f.to.Name(),
	)
	f.importDecl(&b)
	b.Write(f.out.Bytes())
	return format.Source(b.Bytes())
}

// importDecl writes the imports, those of the standard library first.
func (f *file) importDecl(b *bytes.Buffer) {
	if len(f.imports) == 0 {
		return
	}
	var third, first []string
	for path, name := range f.imports {
		line := strconv.Quote(path)
		if path[strings.LastIndexByte(path, '/')+1:] != name {
			line = name + " " + line
		}
		if strings.Contains(path, ".") {
			third = append(third, line)
		} else {
			first = append(first, line)
		}
	}
	slices.Sort(first)
	slices.Sort(third)
	fmt.Fprintf(b, "\nimport (\n%s\n\n%s\n)\n", strings.Join(first, "\n"), strings.Join(third, "\n"))
}

// comment writes the first sentence of our comment, and whether the name is deprecated.
func (f *file) comment(name string) {
	text := f.docs[name]
	if s := new(doc.Package).Synopsis(text); s != "" && !strings.HasPrefix(s, "Deprecated:") {
		f.wrapped(s)
	}
	if _, why, ok := strings.Cut(text, "Deprecated: "); ok {
		why, _, _ = strings.Cut(why, "\n\n")
		fmt.Fprint(&f.out, "//\n")
		f.wrapped("Deprecated: " + why)
	}
}

// wrapped writes a comment in lines of at most 100 columns.
func (f *file) wrapped(text string) {
	line := "//"
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > 96 { // leaves room for a tab
			fmt.Fprintln(&f.out, line)
			line = "//"
		}
		line += " " + word
	}
	fmt.Fprintln(&f.out, line)
}

// group writes all objects that belong to a declaration as one.
func (f *file) group(keyword string, list []types.Object, member func(types.Object) bool) {
	begun := false
	for _, o := range list {
		if !member(o) {
			continue
		}
		if !begun {
			fmt.Fprintf(&f.out, "\n%s (\n", keyword)
			begun = true
		}
		f.comment(o.Name())
		fmt.Fprintf(&f.out, "%s = %s.%s\n", o.Name(), f.imports[f.to.Path()], o.Name())
	}
	if begun {
		fmt.Fprint(&f.out, ")\n")
	}
}

func (f *file) variable(v *types.Var) error {
	if isError(v) {
		return nil // written with its group
	}
	how, ok := kept[v.Pkg().Path()+"."+v.Name()]
	if !ok {
		return fmt.Errorf("the variable %s can be assigned: how does ours learn of that?", v.Name())
	}
	fmt.Fprint(&f.out, "\n")
	f.comment(v.Name())
	fmt.Fprintf(&f.out, "var %s = %s.%s\n\n%s", v.Name(), f.imports[f.to.Path()], v.Name(), how)
	return nil
}

func (f *file) function(fn *types.Func) error {
	sig := fn.Signature()
	if sig.TypeParams().Len() > 0 {
		return fmt.Errorf("%s is generic: forward does not know how to write that", fn.Name())
	}
	var params, args, results []string
	for i := range sig.Params().Len() {
		p := sig.Params().At(i)
		name, typ := f.param(p.Name(), i), p.Type()
		text, dots := "", ""
		if sig.Variadic() && i == sig.Params().Len()-1 {
			dots = "..."
			typ = typ.(*types.Slice).Elem()
		}
		text, err := f.typ(typ)
		if err != nil {
			return fmt.Errorf("%s: %w", fn.Name(), err)
		}
		params = append(params, name+" "+dots+text)
		args = append(args, name+dots)
	}
	for i := range sig.Results().Len() {
		text, err := f.typ(sig.Results().At(i).Type())
		if err != nil {
			return fmt.Errorf("%s: %w", fn.Name(), err)
		}
		results = append(results, strings.TrimSpace(sig.Results().At(i).Name()+" "+text))
	}
	give := ""
	if len(results) > 0 {
		give = "return "
	}
	fmt.Fprint(&f.out, "\n")
	f.comment(fn.Name())
	fmt.Fprintf(
		&f.out,
		"func %s(%s) (%s) {\n\t%s%s.%s(%s)\n}\n",
		fn.Name(),
		strings.Join(params, ", "),
		strings.Join(results, ", "),
		give,
		f.imports[f.to.Path()],
		fn.Name(),
		strings.Join(args, ", "),
	)
	return nil
}

// param names a parameter so that it hides nothing that the function needs.
func (f *file) param(name string, i int) string {
	if name == "" || name == "_" {
		return "p" + strconv.Itoa(i)
	}
	for _, taken := range f.imports {
		if name == taken {
			return name + "Arg"
		}
	}
	return name
}

var qualified = regexp.MustCompile("\x00([^\x00]+)\x00\\.(\\w+)")

// typ writes a type as it reads in the file, and imports what it needs.
func (f *file) typ(t types.Type) (string, error) {
	var err error
	byPath := make(map[string]*types.Package)
	text := types.TypeString(t, func(p *types.Package) string {
		byPath[p.Path()] = p
		return "\x00" + p.Path() + "\x00"
	})
	text = qualified.ReplaceAllStringFunc(text, func(s string) string {
		m := qualified.FindStringSubmatch(s)
		path, name := m[1], m[2]
		if path == f.to.Path() && f.surface[name] {
			return name
		}
		if o := byPath[path].Scope().Lookup(name); o == nil || !o.Exported() {
			err = fmt.Errorf("%s.%s cannot be named elsewhere", path, name)
		}
		return f.imported(byPath[path]) + "." + name
	})
	return text, err
}

// imported returns the name of a package in the file.
func (f *file) imported(p *types.Package) string {
	if name, ok := f.imports[p.Path()]; ok {
		return name
	}
	name := p.Name()
	for _, taken := range f.imports {
		if name == taken {
			name += "pkg"
		}
	}
	f.imports[p.Path()] = name
	return name
}
