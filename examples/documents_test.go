package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is a fenced block of a document.
type block struct {
	document, language, text string
}

var fenced = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents returns the texts of the repository's documents by their paths.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/decisions/*.md", "../dropin/*.md", "*.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no document is like %s: %v", pattern, err)
		}
		for _, path := range paths {
			texts[path] = readText(t, path)
		}
	}
	return texts
}

func blocks(t *testing.T, languages ...string) (found []block) {
	t.Helper()
	for path, text := range documents(t) {
		for _, m := range fenced.FindAllStringSubmatch(text, -1) {
			for _, l := range languages {
				if m[1] == l {
					found = append(found, block{path, l, m[2]})
				}
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no document has a block of %q", languages)
	}
	return found
}

// flat returns code without its indentation.
func flat(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}

// TestDocumentsGo: each piece of Go in the documents is in a program that compiles.
func TestDocumentsGo(t *testing.T) {
	var code strings.Builder
	for _, pattern := range []string{"snippets/*.go", "../adapters/*/example_test.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no snippets: %v", err)
		}
		for _, path := range paths {
			code.WriteString(flat(readText(t, path)))
		}
	}
	for _, b := range blocks(t, "go") {
		if !strings.Contains(code.String(), "\n"+flat(b.text)) {
			t.Errorf("%s: this is in no snippet and in no example of an adapter:\n%s", b.document, b.text)
		}
	}
}

// TestDocumentsCommands: the packages that the documents run exist, and so do the targets of make.
// The program knows its commands and their flags.
func TestDocumentsCommands(t *testing.T) {
	makefile := readText(t, "../Makefile")
	commands, run := 0, regexp.MustCompile(`go run (\./\S+)`)
	made := regexp.MustCompile(`^make ([a-z-]+)`)
	own := regexp.MustCompile(`(?:^|: )fairlead ([a-z -]*[a-z])`)
	flags := regexp.MustCompile(`--([a-z-]+)`)
	for _, b := range blocks(t, "sh") {
		for line := range strings.Lines(b.text) {
			if m := run.FindStringSubmatch(line); m != nil {
				commands++
				if info, err := os.Stat(filepath.Join("..", m[1])); err != nil || !info.IsDir() {
					t.Errorf("%s: %s: there is no package %s", b.document, line, m[1])
				}
			}
			if m := made.FindStringSubmatch(line); m != nil {
				commands++
				if !strings.Contains(makefile, "\n"+m[1]+":") {
					t.Errorf("%s: make has no target %s", b.document, m[1])
				}
			}
			if m := own.FindStringSubmatch(line); m != nil {
				commands++
				help := helpOf(t, b.document, line, m[1])
				command, _, _ := strings.Cut(line, " -- ")
				for _, f := range flags.FindAllStringSubmatch(command, -1) {
					if !strings.Contains(help, "--"+f[1]) {
						t.Errorf("%s: %s: there is no flag --%s", b.document, line, f[1])
					}
				}
			}
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands were found", commands)
	}
}

// helpOf returns the program's help for a command; the words after its name are arguments.
func helpOf(t *testing.T, document, line, words string) string {
	t.Helper()
	name := strings.Fields(words)
	if name[0] == "svc" {
		name = name[:2]
	} else {
		name = name[:1]
	}
	out, err := exec.Command(filepath.Join(os.Getenv(binEnv), "fairlead"), append(name, "-h")...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "fairlead "+strings.Join(name, " ")) {
		t.Errorf("%s: %s: %v\n%s", document, line, err, out)
	}
	return string(out)
}

// TestDocumentsLinks: the targets of links in the documents exist.
func TestDocumentsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	for path, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// TestDocumentsSizes: newcomers to the project read these first, and should read them to the end.
func TestDocumentsSizes(t *testing.T) {
	for path, limit := range map[string]int{"../README.md": 7 << 10, "../DESIGN.md": 12 << 10} {
		if n := len(readText(t, path)); n > limit {
			t.Errorf("%s has %d bytes, it is to have %d at most", path, n, limit)
		}
	}
}
