package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// They tell the child process that it is one, and what the test made.
const (
	testBase = "FAIRLEAD_COMPAT_TEST_BASE"
	testPort = "FAIRLEAD_COMPAT_TEST_PORT"
)

// TestMain lets this binary be the child process that runs a suite.
func TestMain(m *testing.M) {
	if base := os.Getenv(testBase); base != "" {
		port, err := strconv.Atoi(os.Getenv(testPort))
		if err != nil {
			fail(err)
		}
		w := newWorkspace(base, base, testSuites(port), options{official: true, parallel: 2})
		if err := w.runPrepared(context.Background(), os.Args[2], os.Stdout); err != nil {
			fail(err)
		}
		return
	}
	etcdtest.Main(m)
}

func testSuites(port int) []suite {
	return []suite{
		{name: "missing", module: "example.com/missing", version: "v1.0.0", packages: []string{"./..."}},
		{
			name: "served", module: "example.com/served", version: "v1.2.3", packages: []string{"./..."},
			except: []string{"skip"}, server: &server{port: port, env: "SERVED_AT"},
		},
		{name: "failing", module: "example.com/failing", version: "v1.0.0", packages: []string{"./..."}},
	}
}

// proxy makes a module proxy from files, and makes the go command use nothing else.
func proxy(t *testing.T, modules map[string]map[string]string) {
	t.Helper()
	root := t.TempDir()
	for at, files := range modules {
		name, version, _ := strings.Cut(at, "@")
		src := t.TempDir()
		for file, text := range files {
			write(t, filepath.Join(src, file), text)
		}
		dir := filepath.Join(root, filepath.FromSlash(name), "@v")
		write(t, filepath.Join(dir, version+".info"), `{"Version":"`+version+`"}`)
		write(t, filepath.Join(dir, version+".mod"), files["go.mod"])
		out, err := os.Create(filepath.Join(dir, version+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if err := zip.CreateFromDir(out, module.Version{Path: name, Version: version}, src); err != nil {
			t.Fatal(err)
		}
	}
	cache := filepath.Join(t.TempDir(), "modules")
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(root))
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOMODCACHE", cache)
	t.Setenv("GOFLAGS", "")
	t.Cleanup(func() {
		// The go command makes them read-only.
		filepath.Walk(cache, func(p string, _ os.FileInfo, _ error) error { return os.Chmod(p, 0o700) })
	})
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const servedTest = `package served
import ("net"; "os"; "strings"; "testing")
func TestServed(t *testing.T) {
	for _, addr := range []string{strings.TrimPrefix(os.Getenv("SERVED_AT"), "http://"), "127.0.0.1:" + port} {
		c, err := net.Dial("tcp", addr)
		if err != nil { t.Fatal(err) }
		c.Close()
	}
}
`

// TestRunAll: one suite cannot be downloaded, one needs a server on a port, one fails. Each has
// its line.
func TestRunAll(t *testing.T) {
	if _, err := etcdtest.Binary(""); err != nil {
		t.Fatal(err) // built before the proxy is changed
	}
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	port := held.Addr().(*net.TCPAddr).Port
	isolated := runtime.GOOS == "linux" && os.Geteuid() == 0
	if !isolated {
		held.Close()
	}
	proxy(t, map[string]map[string]string{
		"example.com/served@v1.2.3": {
			"go.mod":           "module example.com/served\n\ngo 1.20\n\nreplace example.com/x => ../x\n",
			"served_test.go":   servedTest,
			"port_test.go":     "package served\nconst port = \"" + strconv.Itoa(port) + "\"\n",
			"skip/not_test.go": "package not\nimport \"testing\"\nfunc TestNot(t *testing.T) { t.Fail() }\n",
		},
		"example.com/failing@v1.0.0": {
			"go.mod": "module example.com/failing\n\ngo 1.20\n",
			"f_test.go": "package f\nimport \"testing\"\nfunc TestKnown(t *testing.T) { t.Error(\"as ever\") }\nfunc " +
				"TestNew(t *testing.T) { t.Error(\"not before\") }\n",
		},
	})
	base := t.TempDir()
	write(t, filepath.Join(base, "go.mod"), "module checkout\n\ngo 1.26.0\n")
	write(t, filepath.Join(base, "compat", "explained.txt"), "failing . TestKnown official-fails it always did\n")
	t.Setenv(testBase, base)
	t.Setenv(testPort, strconv.Itoa(port))

	w := newWorkspace(base, base, testSuites(port), options{official: true, parallel: 2})
	var out bytes.Buffer
	code, err := w.runAll(t.Context(), w.suites, &out)
	if err != nil {
		t.Fatal(err)
	}
	if code != exitNoRun {
		t.Errorf("exit status %d, want %d", code, exitNoRun)
	}
	for _, want := range []string{
		"missing  0       0       0     0        0s    NOT RUN",
		"COULD NOT BE RUN: go mod download: example.com/missing@v1.0.0",
		"served   1       0       0     0 ",
		"failing  0       2       0     0 ",
		"failed . TestKnown: official-fails: it always did",
		"failed . TestNew: UNEXPLAINED\n      f_test.go:4: not before",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	page := new(bytes.Buffer)
	if err := w.page(page); err != nil {
		t.Fatal(err)
	}
	want := "| failing | `example.com/failing@v1.0.0` | not run | | | 0 | 2 | 0 |"
	if !strings.Contains(page.String(), want) {
		t.Errorf("%q is missing in\n%s", want, page)
	}
	// Without a network of its own, the suite finds its port taken and names it.
	if !isolated {
		held, err = net.Listen("tcp", held.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
	}
	out.Reset()
	if err := w.runPrepared(t.Context(), "served", &out); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if want := "port " + strconv.Itoa(port) + ", which is taken"; !strings.Contains(r.Err, want) ||
		len(r.Results) != 0 {
		t.Errorf("error %q, results %v; want %q and none", r.Err, r.Results, want)
	}
}

func TestPortIsTaken(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	_, port, _ := net.SplitHostPort(held.Addr().String())
	n, _ := strconv.Atoi(port)
	_, _, err = (&server{port: n}).start()
	if err == nil || !strings.Contains(err.Error(), "port "+port+", which is taken") {
		t.Errorf("error %v, want one that names port %s", err, port)
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	w := newWorkspace(t.TempDir(), t.TempDir(), nil, options{})
	unlock, err := w.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.lock(); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	unlock, err = w.lock()
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestSuites(t *testing.T) {
	all := suites()
	if _, err := choose(all, []string{"kubernetes", "nothing"}, false); err == nil ||
		!strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("unknown suite: %v", err)
	}
	quick, err := choose(all, nil, true)
	if err != nil || len(quick) == 0 || len(quick) == len(all) {
		t.Errorf("quick: %d of %d suites, %v", len(quick), len(all), err)
	}
	for _, s := range all {
		if s.name == "" || s.what == "" || len(s.packages) == 0 || path.Clean(s.module) != s.module {
			t.Errorf("not complete: %+v", s)
		}
	}
}
