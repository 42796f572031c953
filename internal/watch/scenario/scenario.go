// Package scenario runs the text files that describe the behaviour of the engines'
// cores. It is used by tests only.
//
// A file is a sequence of cases. A case is one or more lines with a command each,
// a line "----", and the expected output up to an empty line:
//
//	# a comment
//	watch w1 key=a rev=5
//	opened s1 member=A
//	----
//	open s1
//	send s1 create id=1 key=a rev=5
//
// Empty output is written as "ok". Run the tests with -rewrite to write what the
// code does into the files, and then read the difference.
package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Command is one line: a name, words, and key=value arguments.
type Command struct {
	Name  string
	Words []string
	Args  map[string]string
}

// Has reports whether the word, or an argument of that name, was given.
func (c Command) Has(word string) bool {
	for _, w := range c.Words {
		if w == word {
			return true
		}
	}
	_, ok := c.Args[word]
	return ok
}

// Word returns the i-th word, "" if there are fewer.
func (c Command) Word(i int) string {
	if i >= len(c.Words) {
		return ""
	}
	return c.Words[i]
}

// Int returns an argument as a number, def if it was not given.
func (c Command) Int(t testing.TB, name string, def int64) int64 {
	s, ok := c.Args[name]
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: argument %s: %v", c.Name, name, err)
	}
	return n
}

// Ints returns a comma-separated list of numbers.
func (c Command) Ints(t testing.TB, name string) []int64 {
	var out []int64
	if c.Args[name] == "" {
		return nil
	}
	for s := range strings.SplitSeq(c.Args[name], ",") {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatalf("%s: argument %s: %v", c.Name, name, err)
		}
		out = append(out, n)
	}
	return out
}

// Duration parses the first word, such as 150ms.
func (c Command) Duration(t testing.TB) time.Duration {
	d, err := time.ParseDuration(c.Word(0))
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	return d
}

// Run runs all files that match pattern, each as a subtest with a runner of its own
// made by start. The runner returns the output of one command. With rewrite set it
// changes the files to what it got.
func Run(t *testing.T, pattern string, rewrite bool, start func(t *testing.T) func(Command) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario files match %s (%v)", pattern, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) { runFile(t, file, rewrite, start(t)) })
	}
}

func runFile(t *testing.T, file string, rewrite bool, do func(Command) string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	var out, got strings.Builder
	for i := 0; i < len(lines); {
		line := strings.TrimSpace(lines[i])
		i++
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if line != "----" {
			got.WriteString(do(parse(line)))
			continue
		}
		at := i
		var want strings.Builder
		for i < len(lines) && strings.TrimSpace(lines[i]) != "" {
			want.WriteString(lines[i] + "\n")
			i++
		}
		g := got.String()
		if g == "" {
			g = "ok\n"
		}
		got.Reset()
		out.WriteString(g)
		if !rewrite && g != want.String() {
			t.Errorf("%s:%d:\ngot:\n%swant:\n%s", file, at, g, want.String())
		}
	}
	if got.Len() > 0 {
		t.Errorf("%s: the last commands have no ---- and output:\n%s", file, got.String())
	}
	if rewrite {
		if err := os.WriteFile(file, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func parse(line string) Command {
	c := Command{Args: map[string]string{}}
	for i, f := range strings.Fields(line) {
		k, v, ok := strings.Cut(f, "=")
		switch {
		case i == 0:
			c.Name = f
		case ok:
			c.Args[k] = v
		default:
			c.Words = append(c.Words, f)
		}
	}
	return c
}

// Lines joins lines, each with an end of line.
func Lines(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}
