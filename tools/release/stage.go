package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// stage is a repository as it will be in a release: a copy of the working tree with the versions
// set and our own lines in each go.sum. Beside it is a module proxy in the file system, with the
// released modules.
type stage struct {
	*repository
	version string
	proxy   string // directory of the module proxy
	tree    string // the git tree of all files
	packed  []packed
}

// packed is a module in the proxy.
type packed struct {
	mod  *mod
	of   module.Version
	size int64
	sums []sum
}

// newStage makes a stage in tmp, an empty directory. The repository is left as it is.
func newStage(ctx context.Context, from *repository, version, tmp string) (*stage, error) {
	dir, proxy := filepath.Join(tmp, "checkout"), filepath.Join(tmp, "proxy")
	if err := copyVisible(ctx, from.dir, dir); err != nil {
		return nil, err
	}
	if _, err := git(ctx, dir, "init", "-q"); err != nil {
		return nil, err
	}
	r, err := open(ctx, dir, from.released)
	if err != nil {
		return nil, err
	}
	s := &stage{repository: r, version: version, proxy: proxy}
	if err := r.setVersions(version); err != nil {
		return nil, err
	}
	// A module is packed after the modules that it requires, so that their sums are known.
	for _, m := range r.modules {
		if err := s.writeSums(m); err != nil {
			return nil, err
		}
		if m.released {
			if s.tree, err = writeTree(ctx, dir); err != nil {
				return nil, err
			}
			if err := s.pack(m); err != nil {
				return nil, fmt.Errorf("pack %s: %w", m.path, err)
			}
		}
	}
	s.tree, err = writeTree(ctx, dir)
	return s, err
}

// copyVisible copies what git sees of a working tree.
func copyVisible(ctx context.Context, from, to string) error {
	files, err := visible(ctx, from)
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// writeTree makes a git tree of all files in a directory. Ignored files were not copied there, so
// nothing is ignored here.
func writeTree(ctx context.Context, dir string) (string, error) {
	if _, err := git(ctx, dir, "add", "--all", "--force"); err != nil {
		return "", err
	}
	return git(ctx, dir, "write-tree")
}

// writeSums adds to a module's go.sum the sums of our modules that it requires, as Go will find
// them.
func (s *stage) writeSums(m *mod) error {
	sums, err := s.readSums(m)
	if err != nil {
		return err
	}
	sums = s.others(sums)
	for _, other := range s.requires(m) {
		for _, p := range s.packed {
			if p.mod == other {
				sums = append(sums, p.sums...)
			}
		}
	}
	if len(sums) == 0 {
		return nil
	}
	return replaceFile(s.file(m.dir, "go.sum"), formatSums(sums))
}

// pack puts a module into the proxy: https://go.dev/ref/mod#goproxy-protocol names the files.
func (s *stage) pack(m *mod) error {
	p := packed{mod: m, of: module.Version{Path: m.path, Version: m.version(s.version)}}
	path, err := module.EscapePath(m.path)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(dir, p.of.Version+".zip")
	if p.size, err = s.zip(archive, p); err != nil {
		return err
	}
	mod, err := os.ReadFile(s.file(m.dir, "go.mod"))
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{p.of.Version, time.Now().UTC()})
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		p.of.Version + ".mod": mod, p.of.Version + ".info": info, "list": []byte(p.of.Version + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	all, err := dirhash.HashZip(archive, dirhash.Hash1)
	if err != nil {
		return err
	}
	alone, err := dirhash.Hash1([]string{"go.mod"},
		func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(mod))), nil })
	if err != nil {
		return err
	}
	p.sums = []sum{{p.of, all}, {module.Version{Path: p.of.Path, Version: p.of.Version + "/go.mod"}, alone}}
	s.packed = append(s.packed, p)
	return nil
}

// zip packs a module as Go does from a repository with tags.
func (s *stage) zip(name string, p packed) (size int64, err error) {
	out, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	subdir := p.mod.dir
	if subdir == "." {
		subdir = ""
	}
	if err := zip.CreateFromVCS(out, p.of, s.dir, s.tree, subdir); err != nil {
		out.Close()
		return 0, err
	}
	info, err := out.Stat()
	if err != nil {
		out.Close()
		return 0, err
	}
	return info.Size(), out.Close()
}
