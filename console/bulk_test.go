package console_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// lines makes a request and returns the lines of its answer.
func (p *page) lines(method, path string, body any) []string {
	p.t.Helper()
	resp := p.request(clienttest.Within(p.t, clienttest.Long), method, path, body)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		p.t.Fatalf("%s %s: status %d, %s", method, path, resp.StatusCode, text)
	}
	var all []string
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		all = append(all, in.Text())
	}
	if err := in.Err(); err != nil {
		p.t.Fatal(err)
	}
	return all
}

// found is a line of a search.
type found struct {
	Key, Excerpt, Next []byte
	Looked             int64
	Before, End        bool
	Error              string
}

func (p *page) search(query string) (keys []string, last found) {
	p.t.Helper()
	for _, l := range p.lines("GET", "api/search?"+query, nil) {
		last = found{}
		if err := json.Unmarshal([]byte(l), &last); err != nil {
			p.t.Fatal(err)
		}
		if last.Key != nil {
			keys = append(keys, string(last.Key))
		}
	}
	if !last.End || last.Error != "" {
		p.t.Fatalf("the last line is %+v", last)
	}
	return keys, last
}

func TestSearch(t *testing.T) {
	p, client := open(t, console.WithReadOnly())
	prefix := t.Name() + "/"
	for key, val := range map[string]string{
		"alpha": "nothing", "beta": strings.Repeat("é", 200) + "NEEDLE<b>" + strings.Repeat("x", 500), "needle/1": "v",
		"Needle/2\x00\xff": "\xff\xfe", "zeta": "\xff\x00needle",
	} {
		put(t, client, prefix+key, val)
	}
	q := "prefix=" + b64(prefix) + "&text="
	for query, want := range map[string]string{
		q + b64("needle"):                  "Needle/2\x00\xff needle/1",
		q + b64("needle") + "&exact=1":     "needle/1",
		q + b64("needle") + "&values=1":    "Needle/2\x00\xff beta needle/1 zeta",
		q + b64("\xff"):                    "Needle/2\x00\xff",
		q + b64("\xff\x00n") + "&values=1": "zeta",
		q + b64("Search"):                  "", // the prefix has it, which all keys share
		q + b64("needle") + "&from=" + b64(prefix+"needle/1\x00"): "",
	} {
		keys, last := p.search(query)
		for i := range keys {
			keys[i] = strings.TrimPrefix(keys[i], prefix)
		}
		if got := strings.Join(keys, " "); got != want || len(last.Next) > 0 {
			t.Errorf("%s: %q, then %q; want %q", query, got, last.Next, want)
		}
	}
	var in found
	for _, l := range p.lines("GET", "api/search?"+q+b64("needle")+"&values=1", nil) {
		if f := (found{}); json.Unmarshal([]byte(l), &f) == nil && string(f.Key) == prefix+"beta" {
			in = f
		}
	}
	if !in.Before || !strings.HasPrefix(string(in.Excerpt), "é") ||
		!strings.Contains(string(in.Excerpt), "NEEDLE<b>") ||
		len(in.Excerpt) > 130 {
		t.Errorf("the excerpt is %q", in.Excerpt)
	}
	// Many hits come in portions, one after the other.
	all := make(map[string]string)
	for i := range 450 {
		all[fmt.Sprintf("%smany/%05d", prefix, i)] = "v"
	}
	if _, err := client.PutAll(t.Context(), maps.All(all)); err != nil {
		t.Fatal(err)
	}
	var keys []string
	portions, from := 0, []byte(nil)
	for {
		some, last := p.search(q + b64("many") + "&from=" + b64(string(from)))
		keys = append(keys, some...)
		portions++
		if from = last.Next; len(from) == 0 {
			break
		}
	}
	if len(keys) != 450 || portions != 3 || !slices.IsSorted(keys) || len(slices.Compact(keys)) != 450 {
		t.Errorf("%d keys in %d portions", len(keys), portions)
	}
	p.refused("GET", "api/search?prefix="+b64(prefix), nil, http.StatusBadRequest, "bad_request")
	p.refused("GET", "api/search?text="+b64(strings.Repeat("x", 2000)), nil, http.StatusBadRequest, "bad_request")
}

func TestNewKeysWithALease(t *testing.T) {
	p, client := open(t)
	body := func(key string, more map[string]any) map[string]any {
		m := map[string]any{"key": b64Std(t.Name() + key), "value": b64Std("v"), "mod": 0}
		maps.Copy(m, more)
		return m
	}
	if status := p.call("PUT", "api/key", body("new", map[string]any{"ttl": 300}), nil); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	var k keyState
	p.get("api/key?key="+b64(t.Name()+"new"), &k)
	if k.Lease == "" || k.TTL < 200 || k.TTL > 300 {
		t.Fatalf("%+v", k)
	}
	status := p.call("PUT", "api/key", body("other", map[string]any{"lease": k.Lease}), nil)
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	lease := k.Lease
	p.get("api/key?key="+b64(t.Name()+"other"), &k)
	if k.Lease != lease {
		t.Fatalf("%+v", k)
	}
	// A key that exists already leaves no lease behind.
	leases := func() []clientv3.LeaseStatus {
		all, err := client.Leases(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all.Leases
	}
	before := leases()
	p.refused("PUT", "api/key", body("new", map[string]any{"ttl": 300}), http.StatusConflict, "conflict")
	for _, l := range leases() { // those of other tests may end meanwhile
		if !slices.Contains(before, l) {
			t.Errorf("lease %x is left", l.ID)
		}
	}
	for _, more := range []map[string]any{
		{"ttl": -1}, {"ttl": 1e10}, {"ttl": 5, "lease": lease}, {"lease": "nosuch"}, {"mod": 5, "ttl": 5},
	} {
		p.refused("PUT", "api/key", body("bad", more), http.StatusBadRequest, "bad_request")
	}
	p.refused("PUT", "api/key", body("bad", map[string]any{"lease": "123"}), http.StatusNotFound, "NotFound")
}

// imported is the plan or the result of an import.
type imported struct {
	Keys, Added, Changed, Same, Kept, Conflicts, Leases, Leased int64
	Writes                                                      []struct {
		Key []byte
		Old bool
	}
	LeftOut [][]byte
	Seen    string
}

// TestManyKeysAreSavedBeforeTheyGo also restores them where they are absent.
func TestManyKeysAreSavedBeforeTheyGo(t *testing.T) {
	var log recorder
	p, client := open(t, console.WithAudit(log.record))
	prefix := t.Name() + "/\xff"
	all := make(map[string]string)
	for i := range 1500 {
		all[fmt.Sprintf("%s%05d", prefix, i)] = fmt.Sprintf("v%d\x00\u202e", i)
	}
	if _, err := client.PutAll(t.Context(), maps.All(all)); err != nil {
		t.Fatal(err)
	}
	lease, err := client.Grant(t.Context(), 600)
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, prefix+"leased", "v", clientv3.WithLease(lease.ID))
	var v preview
	p.call("POST", "api/delete/preview", map[string]any{"key": b64Std(prefix), "prefix": true}, &v)
	if v.Count != 1501 {
		t.Fatalf("%d keys", v.Count)
	}
	target := func(typed string, count int64) map[string]any {
		return map[string]any{
			"key":      b64Std(prefix),
			"prefix":   true,
			"revision": v.Revision,
			"count":    count,
			"typed":    b64Std(typed),
		}
	}
	count := func() int64 {
		var c struct{ Count int64 }
		p.get("api/count?prefix="+b64(prefix), &c)
		return c.Count
	}
	refused := func(says string, body map[string]any, status int, code string) {
		t.Helper()
		if e := p.refused("POST", "api/delete", body, status, code); !strings.Contains(e.Error, says) ||
			count() != 1501 {
			t.Fatalf("%+v, %d keys", e, count())
		}
	}
	refused("type their prefix", target("", v.Count), http.StatusBadRequest, "bad_request")
	refused("save them to a file first", target(prefix, v.Count), http.StatusBadRequest, "bad_request")
	refused("there were 1501 keys, not 5", target(prefix, 5), http.StatusConflict, "conflict")
	p.lines("POST", "api/export", map[string]any{"prefix": b64Std(prefix)}) // as of now, maybe another revision
	refused("save them to a file first", target(prefix, v.Count), http.StatusBadRequest, "bad_request")
	file := p.lines("POST", "api/export", map[string]any{"prefix": b64Std(prefix), "revision": v.Revision})
	if len(file) != 1503 || file[1502] != `{"end":1501}` {
		t.Fatalf("%d lines, the last is %s", len(file), file[len(file)-1])
	}
	var d struct{ Deleted int64 }
	if status := p.call("POST", "api/delete", target(prefix, v.Count), &d); status != http.StatusOK ||
		d.Deleted != 1501 ||
		count() != 0 {
		t.Fatalf("status %d, %d deleted, %d left", status, d.Deleted, count())
	}

	// The import restores them, except those that were written since.
	put(t, client, prefix+"00007", "theirs")
	put(t, client, prefix+"00008", all[prefix+"00008"])
	log.take()
	body := map[string]any{"file": strings.Join(file, "\n") + "\n", "absent": true}
	var plan, done imported
	if status := p.call("POST", "api/import", body, &plan); status != http.StatusOK || plan.Added != 1498 ||
		plan.Kept != 1 || plan.Same != 1 || plan.Leased != 1 ||
		len(plan.LeftOut) != 1 || string(plan.LeftOut[0]) != prefix+"leased" || len(plan.Writes) != 100 ||
		plan.Seen == "" ||
		count() != 2 {
		t.Fatalf("status %d, %+v, %d keys", status, plan, count())
	}
	if len(log.take()) != 0 {
		t.Error("a plan is in the audit log")
	}
	body["seen"] = plan.Seen
	put(t, client, prefix+"00009", "theirs too")
	p.refused("POST", "api/import", body, http.StatusConflict, "conflict")
	delete(body, "seen")
	p.call("POST", "api/import", body, &plan)
	body["seen"] = plan.Seen
	if status := p.call("POST", "api/import", body, &done); status != http.StatusOK || done.Added != 1497 ||
		done.Changed != 0 ||
		count() != 1500 {
		t.Fatalf("status %d, %+v, %d keys", status, done, count())
	}
	if changes := log.take(); len(changes) != 2 || changes[1].Action != "import" ||
		changes[1].Outcome != console.Done ||
		!strings.Contains(changes[1].After, "1497 keys added") {
		t.Errorf("%+v", changes)
	}
	if v := value(t, client, prefix+"00007"); v != "theirs" {
		t.Errorf("%q", v)
	}
	if key := prefix + "00100"; value(t, client, key) != all[key] {
		t.Errorf("%q", value(t, client, key))
	}
	if v := value(t, client, prefix+"leased"); v != "<none>" {
		t.Errorf("%q", v)
	}

	// An incomplete file, and a prefix that replaces the file's.
	body = map[string]any{"file": strings.Join(file[:500], "\n") + "\n"}
	e := p.refused("POST", "api/import", body, http.StatusBadRequest, "bad_request")
	if !strings.Contains(e.Error, "cut short") {
		t.Errorf("%+v", e)
	}
	plan = imported{}
	p.call(
		"POST",
		"api/import",
		map[string]any{"file": strings.Join(file, "\n"), "to": b64Std(t.Name() + "/to/"), "leases": true},
		&plan,
	)
	if plan.Added != 1501 || string(plan.Writes[0].Key) != t.Name()+"/to/00000" {
		t.Errorf("%+v", plan)
	}
	if n := strings.Count(fmt.Sprint(p.lines("POST", "api/export",
		map[string]any{"prefix": b64Std(t.Name() + "/none")})), "end"); n != 1 {
		t.Error("an export of nothing is no file")
	}
}

// TestSeveralKeysAtOnce: they are deleted together or not at all.
func TestSeveralKeysAtOnce(t *testing.T) {
	p, client := open(t)
	var keys []map[string]any
	for i := range 101 {
		key := fmt.Sprintf("%s/%d", t.Name(), i)
		keys = append(keys, map[string]any{"key": b64Std(key), "mod": put(t, client, key, "v")})
	}
	p.refused("POST", "api/delete", map[string]any{"keys": keys}, http.StatusBadRequest, "bad_request")
	keys = keys[:100]
	put(t, client, t.Name()+"/7", "theirs")
	e := p.refused("POST", "api/delete", map[string]any{"keys": keys}, http.StatusConflict, "conflict")
	var d struct {
		Changed []struct{ Key []byte }
	}
	if err := json.Unmarshal(e.Detail, &d); err != nil || len(d.Changed) != 1 ||
		string(d.Changed[0].Key) != t.Name()+"/7" ||
		value(t, client, t.Name()+"/8") != "v" {
		t.Fatalf("%s: %v", e.Detail, err)
	}
	keys = slices.Delete(keys, 7, 8)
	var done struct{ Deleted int64 }
	if status := p.call("POST", "api/delete", map[string]any{"keys": keys}, &done); status != http.StatusOK ||
		done.Deleted != 99 ||
		value(t, client, t.Name()+"/8") != "<none>" ||
		value(t, client, t.Name()+"/7") != "theirs" {
		t.Fatalf("status %d, %+v", status, done)
	}
	p.refused(
		"POST",
		"api/delete",
		map[string]any{"keys": []any{map[string]any{"key": b64Std("k")}}},
		http.StatusBadRequest,
		"bad_request",
	)
}

func TestFormat(t *testing.T) {
	p, _ := open(t)
	for in, want := range map[string]string{
		"a:   1\nb: [1,2]   # why\n":   "a: 1\nb: [1, 2] # why\n",
		"- a\n-   b\n":                 "- a\n- b\n",
		"a: 1\n---\nb:\n    c: 0777\n": "a: 1\n---\nb:\n  c: 0777\n",
		"a: &x {b: 1}\nc: *x\n":        "a: &x {b: 1}\nc: *x\n",
	} {
		var out struct{ Value []byte }
		if status := p.call("POST", "api/format", map[string]any{"value": b64Std(in)}, &out); status != http.StatusOK ||
			string(out.Value) != want {
			t.Errorf("%q: status %d, %q, want %q", in, status, out.Value, want)
		}
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf(
			"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n",
			c,
			c,
			c-1,
			c-1,
			c-1,
			c-1,
			c-1,
			c-1,
			c-1,
			c-1,
			c-1,
		)
	}
	for _, in := range []string{"", "just a text", "a: 1\n b: 2\n", "a: 1\na: " +
		"2\n", "a: *nosuch", "\xff\xfe", "42", bomb, "{", strings.Repeat("[", 20000), strings.Repeat("x", 2<<20)} {
		p.refused("POST", "api/format", map[string]any{"value": b64Std(in)}, http.StatusBadRequest, "bad_request")
	}
}
