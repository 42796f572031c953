// Widths finds lines that are too wide in the Go and JavaScript files that are named: comments of
// more than 100 columns and code of more than 120, counting four for a tab. It allows wider lines
// in raw strings and templates, since a break would change them, in indented examples in comments,
// in outputs of examples and in directives.
package main

import (
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

const (
	widestComment = 100
	widestCode    = 120
)

func main() {
	wide := 0
	for _, file := range os.Args[1:] {
		text, err := os.ReadFile(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, "widths:", err)
			os.Exit(1)
		}
		for _, line := range tooWide(file, text) {
			fmt.Println(line)
			wide++
		}
	}
	if wide > 0 {
		fmt.Fprintf(os.Stderr, "widths: %d lines are wider than %d columns, comments than %d\n",
			wide, widestCode, widestComment)
		os.Exit(1)
	}
}

// tooWide lists the lines of a file that are too wide.
func tooWide(file string, text []byte) (list []string) {
	raw := rawInGo
	if filepath.Ext(file) == ".js" {
		raw = rawInJS
	}
	free := raw(text)
	example := strings.HasSuffix(file, "example_test.go")
	for i, line := range strings.Split(string(text), "\n") {
		n := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
		comment, is := strings.CutPrefix(strings.TrimSpace(line), "// ")
		switch {
		case free[i+1]:
		case is && (example || strings.HasPrefix(comment, " ")):
		case is && n > widestComment, n > widestCode && !strings.HasPrefix(strings.TrimSpace(line), "//"):
			list = append(list, fmt.Sprintf("%s:%d: %d columns", file, i+1, n))
		}
	}
	return list
}

// rawInGo returns the lines, counted from 1, that raw strings are on.
func rawInGo(text []byte) map[int]bool {
	lines := map[int]bool{}
	files := token.NewFileSet()
	f := files.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(f, text, nil, 0)
	for {
		pos, tok, literal := s.Scan()
		switch {
		case tok == token.EOF:
			return lines
		case tok == token.STRING && literal[0] == '`':
			first := f.Line(pos)
			for i := range 1 + strings.Count(literal, "\n") {
				lines[first+i] = true
			}
		}
	}
}

// rawInJS returns the lines with a part of a template. It does not know templates within
// templates.
func rawInJS(text []byte) map[int]bool {
	lines := map[int]bool{}
	inside := false
	for i, line := range strings.Split(string(text), "\n") {
		n := strings.Count(line, "`") - strings.Count(line, "\\`")
		lines[i+1] = inside || n > 0
		inside = inside != (n%2 == 1)
	}
	return lines
}
