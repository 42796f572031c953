package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

const (
	official = "go.etcd.io/etcd/client/v3"
	fairlead = "github.com/fairlead-go/fairlead"
	dropIn   = fairlead + "/dropin/v3" // the module that replaces the official client
	wireAPI  = "go.etcd.io/etcd/api/v3"
	server   = "go.etcd.io/etcd/server/v3"

	// serverSince is the first server that fits the wire API which the drop-in requires.
	serverSince = "v3.7.0"
)

// With says which Fairlead a replacement uses.
type With struct {
	Version  string // of the drop-in module, or "latest"
	Checkout string // a directory with Fairlead's repository, instead of a version
}

// NewReplacement plans the change of a module so that its program and all its dependencies use
// Fairlead, with unchanged imports: a replace in its go.mod, and the result of "go mod tidy". It
// runs the go command, which may have to download modules, and changes nothing yet.
func NewReplacement(ctx context.Context, dir string, with With) (*Plan, error) {
	m, err := readModule(dir)
	if err != nil {
		return nil, err
	}
	if err := m.refuse(); err != nil {
		return nil, err
	}
	space, err := m.workspace(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.replace(with); err != nil {
		return nil, err
	}
	mod, sum, err := m.tidied(ctx)
	if err != nil {
		if space != "" {
			err = fmt.Errorf("%w\n(tried without the workspace %s)", err, space)
		}
		return nil, err
	}
	after, err := modfile.Parse(m.file.Syntax.Name, mod, nil)
	if err != nil {
		return nil, err
	}
	if required(after, official) == "" {
		return nil, fmt.Errorf(
			"neither the module in %s nor what it imports uses %s: there is nothing to replace%s",
			dir,
			official,
			m.older(),
		)
	}
	p := &Plan{}
	p.change(filepath.Join(dir, "go.mod"), m.mod, mod)
	p.change(filepath.Join(dir, "go.sum"), m.sum, sum)
	m.looks(p, after, space)
	return p, m.nested(p)
}

// nested lists the modules further down, where the replace has no effect.
func (m *module) nested(p *Plan) error {
	return filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != m.dir && (name == "vendor" || name == "testdata" || name[0] == '.' || name[0] == '_'):
			return fs.SkipDir
		case d.IsDir() || name != "go.mod" || filepath.Dir(path) == filepath.Clean(m.dir):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// Only its go.sum shows what its dependencies need.
		sum, err := os.ReadFile(filepath.Join(filepath.Dir(path), "go.sum"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if strings.Contains(string(text)+string(sum), official+" ") {
			p.look(filepath.Dir(path), 0, "a module of its own, in which the replace does not act: migrate it too")
		}
		return nil
	})
}

// change adds a file to the plan if it changes. Its lines end as before.
func (p *Plan) change(path string, old, now []byte) {
	if now = asBefore(old, now); string(old) != string(now) {
		p.Files = append(p.Files, File{Path: path, Old: old, New: now})
	}
}

// module is a user's module, before the change.
type module struct {
	dir      string
	mod, sum []byte // go.mod and go.sum; sum is nil if there is none
	file     *modfile.File
}

func readModule(dir string) (*module, error) {
	m := &module{dir: dir}
	path := filepath.Join(dir, "go.mod")
	var err error
	if m.mod, err = os.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no go.mod%s: name the directory of a module", dir, above(dir))
	} else if err != nil {
		return nil, err
	}
	if m.sum, err = os.ReadFile(filepath.Join(dir, "go.sum")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if m.file, err = modfile.Parse(path, m.mod, nil); err != nil {
		return nil, err
	}
	if m.file.Module == nil {
		return nil, fmt.Errorf("%s names no module", path)
	}
	return m, nil
}

// above ends an error with the root of the module that a directory belongs to, if there is one.
func above(dir string) string {
	dir, err := filepath.Abs(dir)
	for err == nil && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return ", that of its module is in " + dir
		}
	}
	return ""
}

// refuse returns an error if go.mod has lines to which a replace cannot be added.
func (m *module) refuse() error {
	if m.file.Module.Mod.Path == official {
		return fmt.Errorf("%s is %s itself", m.dir, official)
	}
	for _, r := range m.file.Replace {
		at := fmt.Sprintf("%s:%d", m.file.Syntax.Name, r.Syntax.Start.Line)
		switch {
		case r.Old.Path == official && r.Old.Version != "":
			return fmt.Errorf(
				"%s: a replace of version %s acts on no other version of %s: remove the line first",
				at,
				r.Old.Version,
				official,
			)
		case r.Old.Path == official && !m.isDropIn(r):
			return fmt.Errorf(
				"%s: %s is replaced by %s already: remove the line first if it may go",
				at,
				official,
				strings.TrimSpace(r.New.Path+" "+r.New.Version),
			)
		case r.Old.Path == wireAPI:
			return fmt.Errorf(
				"%s: %s is replaced, and Fairlead needs it as it is published: remove the line first",
				at,
				wireAPI,
			)
		}
	}
	return nil
}

// isDropIn reports whether a module is replaced by ours already, which may change.
func (m *module) isDropIn(r *modfile.Replace) bool {
	if r.New.Version != "" {
		return r.New.Path == dropIn
	}
	dir := r.New.Path
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(m.dir, dir)
	}
	return modulePath(dir) == official && modulePath(filepath.Dir(dir)) == fairlead
}

// modulePath returns the path of the module in a directory, "" if there is none.
func modulePath(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return ""
	}
	return modfile.ModulePath(text)
}

// replace changes m.file.
func (m *module) replace(with With) error {
	for _, r := range slices.Clone(m.file.Replace) {
		if r.Old.Path == official && r.New.Version == "" { // a checkout, which needs another line too
			if err := m.file.DropReplace(fairlead, ""); err != nil {
				return err
			}
		}
	}
	if with.Checkout == "" {
		return m.file.AddReplace(official, "", dropIn, with.Version)
	}
	root := with.Checkout
	if modulePath(root) != fairlead || modulePath(filepath.Join(root, "dropin")) != official {
		return fmt.Errorf("%s is no checkout of %s", root, fairlead)
	}
	if !filepath.IsAbs(root) { // relative to the working directory, while go.mod needs it relative to itself
		from, err := filepath.Abs(m.dir)
		if err != nil {
			return err
		}
		to, err := filepath.Abs(root)
		if err != nil {
			return err
		}
		if root, err = filepath.Rel(from, to); err != nil {
			return err
		}
	}
	local := func(elem ...string) string {
		path := filepath.ToSlash(filepath.Join(elem...))
		if !filepath.IsAbs(path) && !strings.HasPrefix(path, "../") {
			path = "./" + path
		}
		return path
	}
	if err := m.file.AddReplace(official, "", local(root, "dropin"), ""); err != nil {
		return err
	}
	return m.file.AddReplace(fairlead, "", local(root), "")
}

// older ends an error with the path that the client had before it was a module of its own, if the
// module uses that; otherwise it returns "".
func (m *module) older() string {
	for _, r := range m.file.Require {
		if r.Mod.Path == "go.etcd.io/etcd" || r.Mod.Path == "github.com/coreos/etcd" {
			return fmt.Sprintf(
				"; %s is the client of before 3.5, which only a change of the imports replaces",
				r.Mod.Path,
			)
		}
	}
	return ""
}

// looks lists what a person should know about this module.
func (m *module) looks(p *Plan, after *modfile.File, space string) {
	path := m.file.Syntax.Name
	if m.file.Go == nil || semver.Compare("v"+m.file.Go.Version, "v"+after.Go.Version) < 0 {
		p.look(path, after.Go.Syntax.Start.Line, "asks for Go "+after.Go.Version+" now")
	}
	if v := required(after, server); v != "" && semver.Compare(v, serverSince) < 0 {
		p.look(
			path,
			0,
			fmt.Sprintf(
				"an embedded server before 3.7 does not build with the wire API of 3.7: go get %s@v3.7.3",
				server,
			),
		)
	}
	if older := m.older(); older != "" {
		p.look(path, 0, strings.TrimPrefix(older, "; "))
	}
	if _, err := os.Stat(filepath.Join(m.dir, "vendor", "modules.txt")); err == nil {
		p.look(filepath.Join(m.dir, "vendor"), 0, `copies of dependencies: run "go mod vendor" after the change`)
	}
	if space != "" {
		p.look(space, 0, "a workspace: where it has this module, the replace acts in all of its modules")
	}
}

// required returns the version of a module that go.mod requires, "" if it does not.
func required(f *modfile.File, path string) string {
	for _, r := range f.Require {
		if r.Mod.Path == path {
			return r.Mod.Version
		}
	}
	return ""
}
