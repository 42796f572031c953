package console_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

type treePage struct {
	Revision int64
	Children []struct {
		Key    []byte
		Branch bool
		Mod    int64
		Leased bool
	}
	Next []byte
}

// level reads all pages of a level, as "key" and "branch+".
func (p *page) level(prefix, separator string, limit int) (list []string, pages int) {
	p.t.Helper()
	from := ""
	for {
		var tp treePage
		p.get(
			fmt.Sprintf(
				"api/tree?prefix=%s&separator=%s&from=%s&limit=%d",
				b64(prefix),
				b64(separator),
				b64(from),
				limit,
			),
			&tp,
		)
		pages++
		for _, c := range tp.Children {
			s := string(c.Key)
			if c.Branch {
				s += "+"
			}
			list = append(list, s)
		}
		if len(tp.Children) > limit {
			p.t.Fatalf("%d entries in a page of %d", len(tp.Children), limit)
		}
		if len(tp.Next) == 0 {
			return list, pages
		}
		if string(tp.Next) <= from {
			p.t.Fatalf("from %q it goes on at %q", from, tp.Next)
		}
		from = string(tp.Next)
	}
}

// expected computes a level from all keys.
func expected(keys []string, prefix, separator string) (list []string) {
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		s := k
		if i := strings.Index(rest, separator); separator != "" && i >= 0 {
			s = prefix + rest[:i+len(separator)] + "+"
		}
		if n := len(list); n == 0 || list[n-1] != s {
			list = append(list, s)
		}
	}
	return list
}

// TestTreeAgainstAllKeys compares levels of random trees with a plain listing of all keys. The keys
// have bytes at the limits of a byte's range.
func TestTreeAgainstAllKeys(t *testing.T) {
	client := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	p := serve(t, client, console.WithToken(secret))
	p.signIn()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	parts := []string{
		"a",
		"b",
		"aa",
		"\x00",
		"\xff",
		"\xff\xff",
		"/",
		"//",
		"0",
		".",
		"key",
		"\x01\x00",
		strings.Repeat("long", 30),
	}
	all := make(map[string]string)
	for range 250 {
		key := ""
		for range 1 + r.IntN(6) {
			key += parts[r.IntN(len(parts))]
		}
		all[key] = ""
	}
	for i := range 300 { // and a wide branch
		all[fmt.Sprintf("wide/%03d", i)] = ""
		all[fmt.Sprintf("wide/deep/%03d", i)] = ""
	}
	if _, err := client.PutAll(t.Context(), maps.All(all)); err != nil {
		t.Fatal(err)
	}
	keys := slices.Sorted(maps.Keys(all))
	prefixes := []string{
		"",
		"a",
		"a/",
		"/",
		"//",
		"\xff",
		"\xff\xff",
		"\x00",
		"wide/",
		"wide/deep/",
		"none",
		"b\xff",
		"0/",
	}
	for range 5 {
		k := keys[r.IntN(len(keys))]
		prefixes = append(prefixes, k[:r.IntN(len(k)+1)])
	}
	for _, prefix := range prefixes {
		for _, separator := range []string{"/", "", "\xff"} {
			for _, limit := range []int{1, 7, 200} {
				if limit == 1 && (len(prefix) == 0 || separator != "/") {
					continue // many calls, but nothing new
				}
				got, _ := p.level(prefix, separator, limit)
				if want := expected(keys, prefix, separator); !slices.Equal(got, want) {
					t.Fatalf("below %q by %q, %d at a time:\n got %q\nwant %q", prefix, separator, limit, got, want)
				}
			}
		}
	}
}

// TestManyKeysDoNotHurt: the cost of a page of the tree does not grow with the keys that it leaves
// out.
func TestManyKeysDoNotHurt(t *testing.T) {
	p, client := open(t)
	prefix := t.Name() + "/"
	all := func(yield func(string, string) bool) {
		for i := range 40 {
			for j := range 2000 {
				if !yield(fmt.Sprintf("%sbranch-%02d/%05d", prefix, i, j), "") {
					return
				}
			}
		}
	}
	if _, err := client.PutAll(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	list, _ := p.level(prefix, "/", 200)
	t.Logf("40 branches of 2000 keys: %v", time.Since(begin))
	if len(list) != 40 {
		t.Fatalf("%d branches", len(list))
	}
	if _, pages := p.level(prefix+"branch-07/", "/", 200); pages != 10 {
		t.Fatalf("2000 keys in %d pages", pages)
	}
}

// etcd 3.7 leaves the leases out of a listing of keys.
func TestKeysWithALeaseAreMarked(t *testing.T) {
	p, client := open(t)
	lease, err := client.Grant(t.Context(), 300)
	if err != nil {
		t.Fatal(err)
	}
	prefix := t.Name() + "/"
	mine := func(i int) bool { return i%7 == 3 }
	for i := range 250 { // more than are asked about together
		var opts []clientv3.OpOption
		if mine(i) {
			opts = append(opts, clientv3.WithLease(lease.ID))
		}
		put(t, client, fmt.Sprintf("%s%03d", prefix, i), "v", opts...)
	}
	put(t, client, prefix+"branch/key", "v", clientv3.WithLease(lease.ID))
	check := func(of string, key []byte, leased bool) {
		var i int
		if _, err := fmt.Sscanf(strings.TrimPrefix(string(key), prefix), "%d", &i); err != nil {
			t.Fatal(err)
		}
		if leased != mine(i) {
			t.Errorf("%s: %q is shown with a lease: %t", of, key, leased)
		}
	}
	var tp treePage
	p.get(fmt.Sprintf("api/tree?prefix=%s&separator=%s&limit=1000", b64(prefix), b64("/")), &tp)
	keys := 0
	for _, c := range tp.Children {
		if !c.Branch {
			keys++
			check("tree", c.Key, c.Leased)
		}
	}
	if keys != 250 {
		t.Errorf("the tree has %d keys, want 250", keys)
	}
	hits := 0
	for _, l := range p.lines("GET", "api/search?prefix="+b64(prefix)+"&text="+b64("0"), nil) {
		var h struct {
			Key    []byte
			Leased bool
		}
		if err := json.Unmarshal([]byte(l), &h); err != nil {
			t.Fatal(err)
		}
		if len(h.Key) > 0 {
			hits++
			check("search", h.Key, h.Leased)
		}
	}
	if hits < 101 {
		t.Errorf("%d hits", hits)
	}
}
