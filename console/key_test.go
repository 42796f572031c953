package console_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

type keyState struct {
	Exists               bool
	Value                []byte
	Size                 int
	Create, Mod, Version int64
	Lease                string
	TTL                  int64
}

func TestKeyAsItIs(t *testing.T) {
	p, client := open(t)
	key, val := t.Name()+"/\x00\xff\u202e<b>", "\xfe\x00"+strings.Repeat("x", 1<<20)
	rev := put(t, client, key, val)
	var k keyState
	p.get("api/key?key="+b64(key), &k)
	if !k.Exists || string(k.Value) != val || k.Size != len(val) || k.Mod != rev || k.Version != 1 || k.Lease != "" {
		t.Fatalf("%v, %d bytes, %d", k.Exists, len(k.Value), k.Mod)
	}
	k = keyState{}
	p.get("api/key?key="+b64(key+"none"), &k)
	if k.Exists {
		t.Fatal("it exists")
	}
	put(t, client, key, "new")
	p.get(fmt.Sprintf("api/key?key=%s&rev=%d", b64(key), rev), &k)
	if string(k.Value) != val {
		t.Fatal("the old revision has another value")
	}
	p.refused("GET", "api/key", nil, http.StatusBadRequest, "bad_request")
}

func TestAnEditKeepsItsLease(t *testing.T) {
	p, client := open(t)
	lease, err := client.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	rev := put(t, client, t.Name(), "a", clientv3.WithLease(lease.ID))
	status := p.call("PUT", "api/key", map[string]any{"key": b64Std(t.Name()), "value": b64Std("b"), "mod": rev}, nil)
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	var k keyState
	p.get("api/key?key="+b64(t.Name()), &k)
	if string(k.Value) != "b" || k.Lease != fmt.Sprintf("%x", int64(lease.ID)) || k.TTL <= 0 {
		t.Fatalf("%+v", k)
	}
}

func TestAnEditThatLosesTheRaceWritesNothing(t *testing.T) {
	p, client := open(t)
	key := t.Name()
	seen := put(t, client, key, "seen")
	theirs := put(t, client, key, "theirs")
	e := p.refused(
		"PUT",
		"api/key",
		map[string]any{"key": b64Std(key), "value": b64Std("mine"), "mod": seen},
		http.StatusConflict,
		"conflict",
	)
	var now keyState
	if err := json.Unmarshal(e.Detail, &now); err != nil || !now.Exists || string(now.Value) != "theirs" ||
		now.Mod != theirs {
		t.Fatalf("the page gets the detail %s: %v", e.Detail, err)
	}
	// Creating an existing key, and changing a missing one.
	p.refused(
		"PUT",
		"api/key",
		map[string]any{"key": b64Std(key), "value": b64Std("mine"), "mod": 0},
		http.StatusConflict,
		"conflict",
	)
	p.refused(
		"PUT",
		"api/key",
		map[string]any{"key": b64Std(key + "none"), "value": b64Std("mine"), "mod": seen},
		http.StatusConflict,
		"conflict",
	)
	p.refused(
		"PUT",
		"api/key",
		map[string]any{"key": b64Std(key), "value": b64Std("mine")},
		http.StatusBadRequest,
		"bad_request",
	)
	if v := value(t, client, key); v != "theirs" {
		t.Fatalf("the key is %q", v)
	}
	var done struct{ Mod int64 }
	if status := p.call("PUT", "api/key", map[string]any{"key": b64Std(key + "new"), "value": b64Std("mine"), "mod": 0},
		&done); status != http.StatusOK ||
		done.Mod <= theirs {
		t.Fatalf("creating: status %d, %+v", status, done)
	}
}

type history struct {
	Revision, Compacted int64
	Revisions           []struct {
		Mod     int64
		Deleted bool
		Value   []byte
		Left    bool
		Size    int
		Version int64
	}
	Dropped  int
	Complete bool
}

func (h *history) String() string {
	var b strings.Builder
	for _, v := range h.Revisions {
		if v.Deleted {
			b.WriteString("- ")
		} else {
			fmt.Fprintf(&b, "%s ", v.Value)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestHistoryHasAllThatIsThere(t *testing.T) {
	client := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	p := serve(t, client, console.WithToken(secret))
	p.signIn()
	key := "k"
	look := func() *history {
		t.Helper()
		h := new(history)
		p.get("api/history?key="+b64(key), h)
		if !h.Complete {
			t.Errorf("not complete: %v", h)
		}
		return h
	}
	if h := look(); h.String() != "" {
		t.Fatalf("before: %v", h)
	}
	put(t, client, key, "a")
	put(t, client, "other", "x")
	put(t, client, key, "b")
	if _, err := client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if h := look(); h.String() != "- b a" {
		t.Fatalf("deleted: %v", h)
	}
	put(t, client, key, "c")
	at := put(t, client, key, "d")
	put(t, client, "other", "y")
	if h := look(); h.String() != "d c - b a" || h.Compacted != 0 {
		t.Fatalf("created anew: %v", h)
	}
	put(t, client, key, "e")
	put(t, client, "other", "z")
	if _, err := client.Compact(t.Context(), at, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if h := look(); h.String() != "e d" || h.Compacted != at {
		t.Fatalf("compacted at %d: %v, %d", at, h, h.Compacted)
	}
	// A key that is older than the compaction is shown as it was at the compaction.
	key = "other"
	if h := look(); h.String() != "z y x" {
		t.Fatalf("older than the compaction: %v", h)
	}
	if _, err := client.Compact(t.Context(), at+3, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	key = "k"
	if h := look(); h.String() != "e" {
		t.Fatalf("compacted at the end: %v", h)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	p, client := open(t)
	key := fmt.Sprint(t.Name(), rand.Uint64()) // its history stays when it is deleted
	for part := range 15 {                     // revisions of one key: one per transaction
		for i := range 100 {
			put(t, client, key, fmt.Sprint(part*100+i))
		}
	}
	h := new(history)
	p.get("api/history?key="+b64(key), h)
	if len(h.Revisions) != 1000 || h.Dropped != 500 || string(h.Revisions[0].Value) != "1499" ||
		string(h.Revisions[999].Value) != "500" {
		t.Fatalf("%d revisions, %d dropped", len(h.Revisions), h.Dropped)
	}
	for range 6 {
		put(t, client, key+"large", strings.Repeat("x", 1<<20))
	}
	h = new(history)
	p.get("api/history?key="+b64(key+"large"), h)
	if len(h.Revisions) != 6 || len(h.Revisions[0].Value) != 1<<20 || !h.Revisions[5].Left ||
		len(h.Revisions[5].Value) != 0 ||
		h.Revisions[5].Size != 1<<20 {
		t.Fatal("the values of old revisions are not left out")
	}
}

type preview struct {
	Revision, Count int64
	Keys            []struct{ Key []byte }
}

func TestDeleteOnlyWhatWasPreviewed(t *testing.T) {
	p, client := open(t)
	prefix := t.Name() + "/"
	fill := func(n int) {
		t.Helper()
		all := make(map[string]string)
		for i := range n {
			all[fmt.Sprintf("%s%05d", prefix, i)] = "v"
		}
		if _, err := client.PutAll(t.Context(), maps.All(all)); err != nil {
			t.Fatal(err)
		}
	}
	target := func(v preview) map[string]any {
		return map[string]any{
			"key":      b64Std(prefix),
			"prefix":   true,
			"revision": v.Revision,
			"count":    v.Count,
			"typed":    b64Std(prefix),
		}
	}
	count := func() int64 {
		var c struct{ Count int64 }
		p.get("api/count?prefix="+b64(prefix), &c)
		return c.Count
	}
	var v preview
	for _, n := range []int{150, 2500} {
		fill(n)
		p.call("POST", "api/delete/preview", map[string]any{"key": b64Std(prefix), "prefix": true}, &v)
		if v.Count != int64(n) || len(v.Keys) != 100 || string(v.Keys[0].Key) != prefix+"00000" {
			t.Fatalf("preview: %d, %d", v.Count, len(v.Keys))
		}
		p.lines("POST", "api/export", map[string]any{"prefix": b64Std(prefix), "revision": v.Revision})
		for name, key := range map[string]string{"changed": prefix + "00007", "new": prefix + "zz"} {
			put(t, client, key, "theirs")
			e := p.refused("POST", "api/delete", target(v), http.StatusConflict, "conflict")
			var d struct {
				Deleted int64
				Changed []struct{ Key []byte }
			}
			if err := json.Unmarshal(e.Detail, &d); err != nil || d.Deleted != 0 ||
				!slices.ContainsFunc(d.Changed, func(k struct{ Key []byte }) bool { return string(k.Key) == key }) {
				t.Fatalf("%s: %s, %v", name, e.Detail, err)
			}
			if value(t, client, key) != "theirs" {
				t.Fatalf("%s: it was deleted", name)
			}
			v = preview{}
			p.call("POST", "api/delete/preview", map[string]any{"key": b64Std(prefix), "prefix": true}, &v)
			p.lines("POST", "api/export", map[string]any{"prefix": b64Std(prefix), "revision": v.Revision})
		}
		var d struct{ Deleted int64 }
		if status := p.call("POST", "api/delete", target(v), &d); status != http.StatusOK || d.Deleted != int64(n)+1 ||
			count() != 0 {
			t.Fatalf("status %d, %d deleted, %d left", status, d.Deleted, count())
		}
	}
	seen := put(t, client, prefix+"one", "a")
	put(t, client, prefix+"one", "b")
	p.refused(
		"POST",
		"api/delete",
		map[string]any{"key": b64Std(prefix + "one"), "revision": seen},
		http.StatusConflict,
		"conflict",
	)
	p.refused(
		"POST",
		"api/delete",
		map[string]any{"key": "", "prefix": true, "revision": seen},
		http.StatusBadRequest,
		"bad_request",
	)
	p.refused(
		"POST",
		"api/delete",
		map[string]any{"key": b64Std(prefix), "prefix": true},
		http.StatusBadRequest,
		"bad_request",
	)
	if count() != 1 {
		t.Fatal("it is gone")
	}
	status := p.call("POST", "api/delete", map[string]any{"key": b64Std(prefix + "one"), "revision": seen + 1}, nil)
	if status != http.StatusOK || count() != 0 {
		t.Fatalf("status %d", status)
	}
}
