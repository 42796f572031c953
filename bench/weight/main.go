// Weight measures what the client adds to a program: the size of the smallest program with the
// official client and with ours, stripped, and the number of packages outside the standard library
// in each.
//
//	go run ./weight
//
// It fails if ours has more packages, or is more than 5 % larger.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "github.com/fairlead-go/fairlead/bench/weight/"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "weight:", err)
		os.Exit(1)
	}
}

// tolerated is how much larger ours may be, mostly for engines of its own.
const tolerated = 1.05

type weight struct {
	bytes    int64
	packages int
}

func run() error {
	dir, err := os.MkdirTemp("", "fairlead-weight-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var got [2]weight
	for i, name := range []string{"official", "fairlead"} {
		if got[i], err = weigh(dir, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Printf("%-9s %5.2f MB, %d packages\n", name, float64(got[i].bytes)/1e6, got[i].packages)
	}
	if got[1].packages > got[0].packages || float64(got[1].bytes) > tolerated*float64(got[0].bytes) {
		return errors.New("ours is heavier")
	}
	return nil
}

func weigh(dir, name string) (w weight, err error) {
	file := filepath.Join(dir, name)
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file,
		module+name).CombinedOutput(); err != nil {
		return w, fmt.Errorf("%w: %s", err, out)
	}
	info, err := os.Stat(file)
	if err != nil {
		return w, err
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", module+name).
		Output()
	if err != nil {
		return w, err
	}
	return weight{info.Size(), len(strings.Fields(string(out))) - 1}, nil // do not count the program itself
}
