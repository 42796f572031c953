package surface

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/fairlead-go/fairlead/clientv3" // the two packages that are compared
	_ "go.etcd.io/etcd/client/v3"
)

const (
	official = "go.etcd.io/etcd/client/v3"
	ours     = "github.com/fairlead-go/fairlead/clientv3"
	dropIn   = "../../dropin"
)

// theirs lists the packages of the official client that programs can import.
func theirs(t *testing.T) (list []string) {
	t.Helper()
	out, err := exec.Command("go", "list", official+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		if !strings.Contains(path+"/", "/internal/") {
			list = append(list, path)
		}
	}
	return list
}

// both pairs the packages of the official client with those that replace them.
func both(t *testing.T) (pairs []Pair) {
	t.Helper()
	for _, path := range theirs(t) {
		pairs = append(pairs, Pair{path, ours + strings.TrimPrefix(path, official)})
	}
	if len(pairs) < 16 {
		t.Fatalf("only %d packages were found: %v", len(pairs), pairs)
	}
	return pairs
}

// TestDropIn checks the promise that a replace in go.mod changes no name that a program uses: the
// drop-in module has the surface of the official one, and no more.
func TestDropIn(t *testing.T) {
	found, err := CompareForwarding(".", dropIn, both(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// TestOfficialIsOfficial makes sure that everything here is compared with the official client, and
// not with the drop-in, which has its path.
func TestOfficialIsOfficial(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{with .Module}}{{.Path}} {{.Version}} {{.Main}} {{.Replace}}{{end}}",
		official).
		CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != official+" v3.7.3 false <nil>" {
		t.Errorf("%s is %q, %v", official, got, err)
	}
}

// TestClientV3 checks the promise that a program moves over by changing its imports.
func TestClientV3(t *testing.T) {
	found, err := Compare(".", both(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// TestForwardingFindsDifferences makes sure of the same for the drop-in.
func TestForwardingFindsDifferences(t *testing.T) {
	t.Setenv("GOWORK", "off")
	theirs, module := t.TempDir(), t.TempDir()
	write(t, theirs, "go.mod", "module example\n\ngo 1.26\n")
	write(
		t,
		theirs,
		"p/a.go",
		"package p\ntype Same struct{ A int }\ntype Own int\ntype Other int\nfunc F(s Same) Same { return s }\nfunc "+
			"Var() {}\nconst C = 1\n",
	)
	write(t, module, "go.mod", "module example\n\ngo 1.26\n")
	write(
		t,
		module,
		"ours/a.go",
		"package p\ntype Same struct{ A int }\ntype Own int\ntype Another int\nfunc F(s Same) Same { return s }\nfunc "+
			"Var() {}\nconst C = 1\n",
	)
	write(t, module, "p/a.go", `package p
import "example/ours"
type Same = p.Same
type Own int
type Other = p.Another
func F(s Same) p.Same { return s }
var Var = p.Var
const C int = p.C
const More = 1
`)
	found, err := CompareForwarding(theirs, module, []Pair{{"example/p", "example/ours"}})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(found, "\n")
	for _, want := range []string{"p.Other: an " +
		"alias", "p.Var is func(), want func()", "p.C is int 1", "p.More is not theirs", "p.Own is a type of its own"} {
		if !strings.Contains(all, want) {
			t.Errorf("not reported: %s", want)
		}
	}
	for _, not := range []string{"p.Same", "p.F"} {
		if strings.Contains(all, not) {
			t.Errorf("%s was reported:\n%s", not, all)
		}
	}
}

// write makes a file below dir.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGoKit checks the same promise for go-kit's package.
func TestGoKit(t *testing.T) {
	found, err := Compare(".",
		[]Pair{{"github.com/go-kit/kit/sd/etcdv3", "github.com/fairlead-go/fairlead/adapters/gokit/sd/etcdv3"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// TestCompareFindsDifferences makes sure that silence means agreement.
func TestCompareFindsDifferences(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "go.mod", "module example\n\ngo 1.26\n")
	write(t, dir, "theirs/a.go", `package p
import "io"
const Same, Value = 1, 2
var Kind int
func Missing() {}
func Signature(a int) error { return nil }
type S struct { A int; B string `+"`json:\"b\"`"+`; C io.Reader; hidden int }
func (S) Gone() {}
func (*S) Stay() {}
type I interface { M() }
type Alias = io.Reader
type N int
`)
	write(t, dir, "ours/a.go", `package p
import "io"
const Same, Value = 1, 3
var Kind string
func Signature(a int64) error { return nil }
type S struct { A int64; B string; More bool }
func (*S) Stay() {}
type I interface { M(); N() }
type Alias = io.Writer
type N string
var _ io.Reader
`)
	t.Setenv("GOWORK", "off")
	found, err := Compare(dir, []Pair{{"example/theirs", "example/ours"}})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(found, "\n")
	for _, want := range []string{
		"ours.Value is", "ours.Kind is", "ours.Missing is missing", "ours.Signature is", "ours.S.A is",
		"ours.S.B has tag", "ours.S.C is missing", "no method Gone", "ours.I is", "ours.Alias is", "ours.N is",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("not reported: %s", want)
		}
	}
	for _, not := range []string{"Same", "hidden", "Stay", "More"} {
		if strings.Contains(all, not) {
			t.Errorf("%s was reported:\n%s", not, all)
		}
	}
}
