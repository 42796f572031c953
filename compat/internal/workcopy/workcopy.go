// Package workcopy makes a copy of somebody's module that can be changed and tested. It fetches
// the module through the module proxy, removes from its go.mod what is valid only in its own
// repository, and replaces its etcd client if wanted.
package workcopy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// Spec says what to copy and what to change in it.
type Spec struct {
	Module, Version string
	Optional        []Optional
	// Raise has, by module, versions to which lower requirements are raised.
	Raise map[string]string
	// Go is the least version of the language, since a module must not declare an older one than
	// the modules that it requires.
	Go string
	// Replace has directories that replace modules, by the module's path.
	Replace map[string]string
}

// Optional is a module that only a few files need. If it cannot be downloaded, they are left out.
type Optional struct {
	Module, Version string
	Files           []string
}

// Make fetches the module and makes the copy in dir, which it empties first. The path of dir
// should be the same each time, since the go command's build cache depends on it. The notes say
// what was left out.
func Make(ctx context.Context, s Spec, dir string) (notes []string, err error) {
	from, err := Download(ctx, s.Module, s.Version)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := copyTree(from, dir); err != nil {
		return nil, fmt.Errorf("copy %s: %w", from, err)
	}
	drop := map[string]bool{}
	for _, o := range s.Optional {
		if _, err := Download(ctx, o.Module, o.Version); err == nil {
			continue
		}
		drop[o.Module] = true
		for _, f := range o.Files {
			if err := os.Remove(filepath.Join(dir, f)); err != nil {
				return nil, err
			}
			notes = append(
				notes,
				fmt.Sprintf("%s is left out: it needs %s@%s, which cannot be had", f, o.Module, o.Version),
			)
		}
	}
	file := filepath.Join(dir, "go.mod")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if text, err = edit(text, s, drop); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return notes, os.WriteFile(file, text, 0o644)
}

// edit changes a go.mod as a Spec says.
func edit(text []byte, s Spec, drop map[string]bool) ([]byte, error) {
	f, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		return nil, err
	}
	f.DropToolchainStmt() // any toolchain of the language's version will do
	if s.Go != "" && (f.Go == nil || semver.Compare("v"+f.Go.Version, "v"+s.Go) < 0) {
		if err := f.AddGoStmt(s.Go); err != nil {
			return nil, err
		}
	}
	for _, r := range f.Replace {
		if modfile.IsDirectoryPath(r.New.Path) {
			if err := f.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				return nil, err
			}
		}
	}
	have := map[string]string{}
	for _, r := range f.Require {
		have[r.Mod.Path] = r.Mod.Version
	}
	for mod, version := range s.Raise {
		if old, ok := have[mod]; !ok || semver.Compare(old, version) >= 0 {
			continue
		}
		if err := f.AddRequire(mod, version); err != nil {
			return nil, err
		}
	}
	for mod := range drop {
		if err := f.DropRequire(mod); err != nil {
			return nil, err
		}
	}
	for mod, dir := range s.Replace {
		if err := f.AddReplace(mod, "", dir, ""); err != nil {
			return nil, err
		}
	}
	f.Cleanup()
	return f.Format()
}

// Download makes the go command fetch a module, and returns its directory in the module cache,
// which is read-only.
func Download(ctx context.Context, module, version string) (dir string, err error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	cmd.Dir = os.TempDir() // outside every module, so that no replacement applies
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	runErr := cmd.Run()
	var answer struct{ Dir, Error string }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return "", fmt.Errorf("go mod download %s@%s: %w\n%s", module, version, errors.Join(runErr, err), errs.Bytes())
	}
	if answer.Error != "" {
		return "", fmt.Errorf("go mod download: %s", answer.Error)
	}
	return answer.Dir, nil
}

// copyTree copies files and directories so that the owner may write them. A module's archive has
// nothing else.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(p, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}

// Requirements returns the version of Go and the versions of modules, by path, that a go.mod file
// requires.
func Requirements(file string) (goVersion string, modules map[string]string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	f, err := modfile.Parse(file, text, nil)
	if err != nil {
		return "", nil, err
	}
	modules = map[string]string{}
	for _, r := range f.Require {
		modules[r.Mod.Path] = r.Mod.Version
	}
	if f.Go != nil {
		goVersion = f.Go.Version
	}
	return goVersion, modules, nil
}
