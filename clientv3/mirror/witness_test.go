package mirror_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// While no mirror runs, the source is restored from a backup and comes to higher revisions than the
// checkpoint's. The next mirror shows what the source has then.
func TestSourceRestoredWhileStopped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lost        string // put after the backup; "": nothing
		keys        map[string]string
		comparisons int64
	}{
		"a key is gone":              {"q/lost", map[string]string{"q/new": "1", "q/other": "2"}, 1},
		"a key has another value":    {"q/new", map[string]string{"q/new": "2"}, 1},
		"the backup has all of them": {"", map[string]string{"q/new": "1", "q/other": "2"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			source := clienttest.Dial(t, cluster.Endpoints()...)
			target := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
			put(t, source, "q/old", "1")
			put(t, source, "q/other", "1")
			backup := clienttest.Backup(t, cluster)
			if c.lost != "" {
				put(t, source, c.lost, "1")
			}
			var rev int64
			for i := range 20 {
				rev = put(t, source, "elsewhere", fmt.Sprint(i))
			}
			r := start(t, source, target, mirror.WithPrefix("q/"))
			r.reach(rev)
			r.stop()
			clienttest.Restore(t, cluster, backup, c.keys)
			r = start(t, source, target, mirror.WithPrefix("q/"))
			r.reach(put(t, source, "q/end", ""))
			r.stop()
			same(t, source, "q/", target, "q/")
			if r.last.Comparisons != c.comparisons {
				t.Errorf("%+v", r.last)
			}
		})
	}
}

// A mirror goes on from its checkpoint without a comparison, whatever became of the newest key.
func TestGoesOnWithoutComparison(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, c *clientv3.Client, from string){
		"nothing":       func(*testing.T, *clientv3.Client, string) {},
		"another key":   func(t *testing.T, c *clientv3.Client, from string) { put(t, c, from+"a", "2") },
		"overwritten":   func(t *testing.T, c *clientv3.Client, from string) { put(t, c, from+"z", "2") },
		"deleted":       func(t *testing.T, c *clientv3.Client, from string) { del(t, c, from+"z") },
		"deleted first": func(t *testing.T, c *clientv3.Client, from string) { put(t, c, from+"again", "2") },
	} {
		for _, seen := range []string{"listed", "followed"} {
			t.Run(name+", "+seen, func(t *testing.T) {
				c, from, to, opts := oneCluster(t)
				rev := put(t, c, from+"a", "1")
				var r *running
				if seen == "followed" {
					r = start(t, c, c, opts...)
					r.reach(rev)
				}
				rev = put(t, c, from+"z", "1")
				if name == "deleted first" {
					rev = del(t, c, from+"z")
				}
				if r == nil {
					r = start(t, c, c, opts...)
				}
				r.reach(rev)
				r.stop()
				change(t, c, from)
				r = start(t, c, c, opts...)
				r.reach(put(t, c, from+"end", ""))
				same(t, c, from, c, to)
				if r.last.Comparisons != 0 {
					t.Errorf("%+v", r.last)
				}
			})
		}
	}
}

// A checkpoint that says too little, in another form or damaged, leads to a comparison.
func TestCheckpointThatSaysLittle(t *testing.T) {
	from := etcdtest.Start(t, etcdtest.Options{})
	source := clienttest.Dial(t, from.Endpoints()...)
	for name, spoil := range map[string]func(string) string{
		"no witness": func(s string) string {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal([]byte(s), &fields); err != nil || fields["witness"] == nil {
				t.Fatalf("%s: %v", s, err)
			}
			delete(fields, "witness")
			text, _ := json.Marshal(fields)
			return string(text)
		},
		"a witness of another form": func(s string) string {
			return strings.Replace(s, `"witness":{`, `"witness":"?","was":{`, 1)
		},
		"a key that is none":  func(s string) string { return strings.Replace(s, `"key":"`, `"key":"?`, 1) },
		"no revision":         func(s string) string { return strings.Replace(s, `"revision":`, `"revision":{},"was":`, 1) },
		"half of it":          func(s string) string { return s[:len(s)/2] },
		"nothing of the kind": func(string) string { return "\xff" },
	} {
		target := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
		r := start(t, source, target, mirror.WithPrefix("k/"))
		r.reach(put(t, source, "k/1", ""))
		r.stop()
		put(t, source, "k/2", "")
		const mark = "\x00fairlead/mirror/k/"
		was := content(t, target, mark)[""]
		if spoil(was) == was {
			t.Fatalf("%s: %s is as it was", name, was)
		}
		put(t, target, mark, spoil(was))
		r = start(t, source, target, mirror.WithPrefix("k/"))
		r.reach(put(t, source, "k/end", ""))
		r.stop()
		same(t, source, "k/", target, "k/")
		if r.last.Comparisons != 1 {
			t.Errorf("%s: %+v", name, r.last)
		}
	}
}

// The checkpoint does not grow with the names of keys: a newest key with a long one is no witness.
func TestLongNameIsNoWitness(t *testing.T) {
	for size, comparisons := range map[int]int64{512: 0, 513: 1} {
		c, from, to, opts := oneCluster(t)
		r := start(t, c, c, opts...)
		r.reach(put(t, c, from+"short", ""))
		r.reach(put(t, c, from+strings.Repeat("x", size-len(from)), ""))
		r.stop()
		r = start(t, c, c, opts...)
		r.reach(put(t, c, from+"end", ""))
		r.stop()
		same(t, c, from, c, to)
		if r.last.Comparisons != comparisons {
			t.Errorf("a name of %d bytes: %+v", size, r.last)
		}
		del(t, c, t.Name()+"/mark")
		del(t, c, to, clientv3.WithPrefix())
	}
}
