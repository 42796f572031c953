package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func put(t *testing.T, c *clientv3.Client, key, value string, opts ...clientv3.OpOption) {
	t.Helper()
	if _, err := c.Put(context.Background(), key, value, opts...); err != nil {
		t.Fatal(err)
	}
}

// all are the keys with a prefix, without it.
func all(t *testing.T, c *clientv3.Client, prefix string) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for kv, err := range c.Range(context.Background(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		m[strings.TrimPrefix(string(kv.Key), prefix)] = string(kv.Value)
	}
	return m
}

func equal(a, b map[string]string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func export(t *testing.T, c *clientv3.Client, prefix string) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	if _, err := Export(context.Background(), c, prefix, 0, &b, nil); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

func TestRoundTrip(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := context.Background()
	a, b := t.Name()+"/a/", t.Name()+"/b/"
	for i := range 350 {
		put(t, c, fmt.Sprintf("%s%04d", a, i), fmt.Sprint("value ", i))
	}
	put(t, c, a+"\xff\x00", "\xfe<&>\"\n")
	put(t, c, a+"empty", "")
	g, err := c.Grant(ctx, 600)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, a+"leased/1", "x", clientv3.WithLease(g.ID))
	put(t, c, a+"leased/2", "y", clientv3.WithLease(g.ID))
	file := export(t, c, a)
	if n, err := Check(file); err != nil || n != 354 {
		t.Fatalf("%d keys, %v", n, err)
	}
	file.Seek(0, 0)
	put(t, c, b+"0007", "other")
	put(t, c, b+"extra", "1")
	var changed []string
	o := Options{
		To:       &b,
		Leases:   true,
		Prune:    true,
		Dry:      true,
		OnChange: func(d Difference) { changed = append(changed, d.Key) },
	}
	before := all(t, c, b)
	res, err := Import(ctx, c, file, o)
	if want := (Result{Keys: 354, Added: 353, Changed: 1, Deleted: 1}); err != nil || res != want ||
		len(changed) != 355 {
		t.Errorf("dry run: %+v, %d changed, %v; want %+v", res, len(changed), err, want)
	}
	if !equal(before, all(t, c, b)) {
		t.Error("the dry run has changed something")
	}
	o.Dry = false
	file.Seek(0, 0)
	res, err = Import(ctx, c, file, o)
	if want := (Result{Keys: 354, Added: 353, Changed: 1, Deleted: 1, Leases: 1}); err != nil || res != want {
		t.Errorf("%+v, %v; want %+v", res, err, want)
	}
	if !equal(all(t, c, a), all(t, c, b)) {
		t.Error("the copy differs")
	}
	r, err := c.Get(ctx, b+"leased/", clientv3.WithPrefix())
	if err != nil || len(r.Kvs) != 2 || r.Kvs[0].Lease == 0 || r.Kvs[0].Lease != r.Kvs[1].Lease ||
		r.Kvs[0].Lease == int64(g.ID) {
		t.Fatalf("leases: %v, %v", r, err)
	}
	if l, err := c.TimeToLive(ctx, clientv3.LeaseID(r.Kvs[0].Lease)); err != nil || l.GrantedTTL != 600 {
		t.Errorf("the new lease: %+v, %v", l, err)
	}
	file.Seek(0, 0)
	res, err = Import(ctx, c, file, o)
	if want := (Result{Keys: 354, Same: 354}); err != nil || res != want {
		t.Errorf("a second time: %+v, %v", res, err)
	}
}

// TestImportGoesOnAfterAnInterruption: a second import writes only what the first one has not.
func TestImportGoesOnAfterAnInterruption(t *testing.T) {
	c := clienttest.Shared(t)
	a, b := t.Name()+"/a/", t.Name()+"/b/"
	for i := range 450 {
		put(t, c, fmt.Sprintf("%s%04d", a, i), "v")
	}
	file := export(t, c, a)
	ctx, cancel := context.WithCancel(context.Background())
	res, err := Import(ctx, c, file, Options{To: &b, Progress: func(n, of int64) {
		if of != 450 {
			t.Errorf("%d keys of %d", n, of)
		}
		if n >= 200 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || res.Added != 200 {
		t.Errorf("%+v, %v", res, err)
	}
	file.Seek(0, 0)
	res, err = Import(context.Background(), c, file, Options{To: &b})
	if err != nil || res.Same != 200 || res.Added != 250 {
		t.Errorf("%+v, %v", res, err)
	}
}

// Files may have been changed by an editor: a byte order mark, CRLF, indented or empty lines.
func TestEditedFiles(t *testing.T) {
	c := clienttest.Shared(t)
	text := "\xef\xbb\xbf" + `{"fairlead":"export","format":1,"prefix":"p/"}` + "\r\n\r\n" +
		`{"key":"p/a","value":"1\r\n"}` + "\r\n" + `  {"key":"p/b"}` + "\r\n" + `{"end":2}`
	to := t.Name() + "/"
	res, err := Import(context.Background(), c, strings.NewReader(text), Options{To: &to})
	if err != nil || res.Keys != 2 {
		t.Errorf("%+v, %v", res, err)
	}
	if got := all(t, c, to); !equal(got, map[string]string{"a": "1\r\n", "b": ""}) {
		t.Errorf("%q", got)
	}
	_, err = Check(strings.NewReader("\xff\xfe{\x00\"\x00\n\x00"))
	if err == nil || !strings.Contains(err.Error(), "line 1: the file is in UTF-16") {
		t.Error(err)
	}
}

// Values that the servers accept are written; an import names a value that is too large, and has
// written the keys before it.
func TestLargeValues(t *testing.T) {
	c := clienttest.Shared(t)
	a, b := t.Name()+"/a/", t.Name()+"/b/"
	for i := range 5 {
		put(t, c, a+fmt.Sprint(i), strings.Repeat("\xff", 1<<20))
	}
	file := export(t, c, a)
	for range 2 {
		file.Seek(0, 0)
		if res, err := Import(context.Background(), c, file, Options{To: &b}); err != nil || res.Keys != 5 {
			t.Errorf("%+v, %v", res, err)
		}
	}
	if !equal(all(t, c, a), all(t, c, b)) {
		t.Error("the values differ")
	}
	text := fmt.Sprintf(`{"fairlead":"export","format":1}
{"key":"%s1","value":"x"}
{"key":"%s2","value":"%s"}
{"end":2}
`, t.Name(), t.Name(), strings.Repeat("x", 1600<<10))
	res, err := Import(context.Background(), c, strings.NewReader(text), Options{})
	if err == nil || !strings.Contains(err.Error(), `key "`+t.Name()+`2": `) || res.Added != 1 {
		t.Errorf("%+v, %.200v", res, err)
	}
}

// TestImportLeavesKeysThatOthersChange: a key that another client changes after it was compared is
// a conflict, and is not written.
func TestImportLeavesKeysThatOthersChange(t *testing.T) {
	c := clienttest.Shared(t)
	k := t.Name() + "/k"
	put(t, c, k, "1")
	put(t, c, k+"2", "1")
	i := importing{ctx: context.Background(), c: c, res: &Result{}}
	err := i.commit([]planned{
		{Difference: Difference{Key: k, New: "mine", HasNew: true}, mod: 1},
		{Difference: Difference{Key: k + "3", New: "mine", HasNew: true}},
	})
	if err != nil || i.res.Conflicts != 1 || i.res.Added != 1 {
		t.Errorf("%+v, %v", i.res, err)
	}
	if got := all(t, c, k); got[""] != "1" || got["3"] != "mine" {
		t.Errorf("%v", got)
	}
}

func TestKeyTwiceInAFileGetsTheLastValue(t *testing.T) {
	c := clienttest.Shared(t)
	k := t.Name()
	file := strings.NewReader(`{"fairlead":"export","format":1,"revision":1,"cluster":"1"}
{"key":"` + k + `","value":"1"}

{"key":"` + k + `","value":"2"}
{"end":2}`)
	if res, err := Import(context.Background(), c, file, Options{}); err != nil || res.Added != 1 || res.Changed != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	if got := all(t, c, k); got[""] != "2" {
		t.Errorf("%v", got)
	}
}

func TestBrokenFiles(t *testing.T) {
	c := clienttest.Shared(t)
	const head = `{"fairlead":"export","format":1,"prefix":"p/","revision":1,"cluster":"1"}` + "\n"
	good := `{"key":"p/` + t.Name() + `","value":"v"}` + "\n"
	for _, f := range []struct{ text, want string }{
		{"", "line 1: the file is empty"},
		{"hello\n", "line 1: this is no export"},
		{`{"fairlead":"export","format":7}`, "line 1: the format is 7"},
		{head + good, "line 3: the file ends here"},
		{head + good + `{"key":"x","value"`, "line 3: unexpected end"},
		{head + good + `{"end":2}`, "line 3: 2 keys are announced, there are 1"},
		{head + good + "{\"end\":1}\n" + good, "line 4: something follows"},
		{head + `{"value":"v"}`, `line 2: a line has one of "key" and "key64"`},
		{head + `{"key":"","value":"v"}`, "line 2: the key is empty"},
		{head + `{"key":"a","value":"v","value64":"AA=="}`, `line 2: a line has one of "value"`},
		{head + `{"key":"a","value":"v","ttl":-1}`, "line 2: the ttl"},
		{head + `{"key64":"%","value":"v"}`, "line 2: "},
	} {
		res, err := Import(context.Background(), c, strings.NewReader(f.text), Options{})
		var broken *Broken
		if !errors.As(err, &broken) || !strings.HasPrefix(err.Error(), f.want) || res != (Result{}) {
			t.Errorf("%q: %v, %+v, want %s", f.text, err, res, f.want)
		}
	}
	if got := all(t, c, "p/"); len(got) != 0 {
		t.Errorf("of broken files %v was written", got)
	}
	to := "other/"
	if _, err := Import(context.Background(), c, strings.NewReader(head+`{"key":"q","value":""}`+"\n"+`{"end":1}`),
		Options{To: &to}); err == nil ||
		!strings.Contains(err.Error(), "does not begin with the prefix") {
		t.Errorf("a key that is not below the prefix: %v", err)
	}
}

func TestDiff(t *testing.T) {
	c := clienttest.Shared(t)
	other := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	ctx := context.Background()
	a, b := t.Name()+"/a/", t.Name()+"/b/"
	for k, v := range map[string]string{"1": "x", "2": "x", "4": "x"} {
		put(t, c, a+k, v)
	}
	for k, v := range map[string]string{"0": "new", "2": "x", "4": "changed", "5": "new"} {
		put(t, c, b+k, v)
		put(t, other, k, v)
	}
	show := func(x, y Side) string {
		t.Helper()
		var s []string
		for d, err := range Diff(ctx, x, y) {
			if err != nil {
				t.Fatal(err)
			}
			s = append(s, fmt.Sprintf("%s %v>%v", d.Key, d.Old, d.New))
		}
		return strings.Join(s, ", ")
	}
	const want = "0 >new, 1 x>, 4 x>changed, 5 >new"
	if got := show(Side{Client: c, Prefix: a}, Side{Client: c, Prefix: b}); got != want {
		t.Errorf("prefixes: %s", got)
	}
	if got := show(Side{Client: c, Prefix: a}, Side{Client: other}); got != want {
		t.Errorf("clusters: %s", got)
	}
	now, err := c.Get(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, a+"2", "later")
	got := show(Side{Client: c, Prefix: a, Rev: now.Header.Revision}, Side{Client: c, Prefix: a})
	if got != "2 x>later" {
		t.Errorf("revisions: %s", got)
	}
	if got := show(Side{Client: c, Prefix: a}, Side{Client: c, Prefix: a}); got != "" {
		t.Errorf("with itself: %s", got)
	}
	failed := false
	for _, err := range Diff(ctx, Side{Client: c, Prefix: a, Rev: 1 << 40}, Side{Client: c, Prefix: a}) {
		failed = failed || err != nil
	}
	if !failed {
		t.Error("a revision of the future was compared")
	}
}

// TestValuesOfEverySize: every value that can be put can be exported and imported, up to the
// largest request that servers accept.
func TestValuesOfEverySize(t *testing.T) {
	c := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	ctx := context.Background()
	low, high := 1<<20, 2<<20 // accepted, refused
	for low+1 < high {
		mid := (low + high) / 2
		_, err := c.Put(ctx, "a/limit-000", strings.Repeat("x", mid))
		switch {
		case err == nil:
			low = mid
		case errors.Is(err, rpctypes.ErrRequestTooLarge):
			high = mid
		default:
			t.Fatal(err)
		}
	}
	for i, below := range []int{0, 1, 2, 3, 5, 8, 13, 20, 30, 40, 50, 60, 80, 100, 150, 200, low / 2, low - 1} {
		put(t, c, fmt.Sprintf("a/%03d", i), strings.Repeat(string(rune('a'+i)), low-below))
	}
	to := "b/"
	for _, again := range []bool{false, true} {
		res, err := Import(ctx, c, export(t, c, "a/"), Options{To: &to})
		if err != nil || res.Conflicts > 0 || again != (res.Added == 0) {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	if !equal(all(t, c, "a/"), all(t, c, "b/")) {
		t.Error("the copy differs")
	}
	to = "a longer name/"
	if _, err := Import(ctx, c, export(t, c, "a/"), Options{To: &to}); !errors.Is(err, rpctypes.ErrRequestTooLarge) ||
		!strings.Contains(err.Error(), to) {
		t.Errorf("what is too large with a longer name: %v", err)
	}
}
