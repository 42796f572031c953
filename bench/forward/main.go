// Command forward writes the drop-in module, dropin/. For each package of the official client it
// has one file with the same surface, in which everything is ours. Nobody edits those files.
//
//	go run ./forward           # in bench/: writes them
//	go run ./forward -check    # fails if they are not what it would write
//
// The official module that bench links shows what to forward, and our packages show how. A
// variable that programs may assign cannot be forwarded: if it is not among those in kept, forward
// fails.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	dir := flag.String("dir", filepath.Join("..", "dropin"), "where the drop-in module lies")
	check := flag.Bool("check", false, "write nothing, fail if a file is stale")
	flag.Parse()
	if err := run(*dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "forward:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	want, err := generate(".")
	if err != nil {
		return err
	}
	have, err := generated(dir)
	if err != nil {
		return err
	}
	var stale []error
	for name := range have {
		if _, ok := want[name]; !ok {
			stale = append(stale, settle(check, name, "is not needed any more", func() error {
				return os.Remove(filepath.Join(dir, name))
			}))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if bytes.Equal(have[name], want[name]) {
			continue
		}
		stale = append(stale, settle(check, name, "is stale: run go run ./forward in bench", func() error {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			return os.WriteFile(path, want[name], 0o644)
		}))
	}
	return errors.Join(stale...)
}

// settle makes a change, or with check reports that the change is due.
func settle(check bool, name, why string, change func() error) error {
	if check {
		return fmt.Errorf("%s %s", name, why)
	}
	return change()
}

// generated reads the files below dir that this program wrote.
func generated(dir string) (map[string][]byte, error) {
	files := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(text, []byte(header)) {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(rel)] = text
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return files, err
}
