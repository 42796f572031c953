package keep

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSpanIsCutWhereKeysHaveLeastInCommon(t *testing.T) {
	for _, c := range []struct {
		keys []string
		at   int
	}{
		{[]string{"/a/1", "/b/1"}, 1},
		{[]string{"/a/1", "/a/2", "/a/3", "/b/1"}, 3},
		{[]string{"/a/1", "/b/1", "/b/2", "/b/3"}, 1},
		{[]string{"/a/1", "/a/2", "/a/3", "/a/4"}, 2}, // all alike: halves
		{[]string{"a", "b/1", "b/2", "c"}, 1},
	} {
		if at := cut(c.keys); at != c.at {
			t.Errorf("%v: at %d, want %d", c.keys, at, c.at)
		}
	}
}

// Whatever keys come, go or are refused: the spans have each key once, and do not overlap.
func TestSpans(t *testing.T) {
	for seed := range uint64(200) {
		draw := rand.New(rand.NewPCG(seed, 0))
		k := &Keeper{entries: make(map[string]*entry), watchIt: func(*span, int64) {}}
		for range 100 {
			switch n := draw.IntN(10); {
			case n < 5:
				key := fmt.Sprintf("/%c/%c", 'a'+draw.IntN(4), 'a'+draw.IntN(8))
				if k.entries[key] == nil {
					e := &entry{key: key}
					k.entries[key] = e
					k.cover(e)
				}
			case n < 7:
				for key, e := range k.entries {
					delete(k.entries, key)
					k.uncover(e)
					break
				}
			default:
				if len(k.spans) > 0 {
					s := k.spans[draw.IntN(len(k.spans))]
					single := s.low == s.high
					if k.narrow(s, 0) == single {
						t.Fatalf("seed %d: narrow %s to %s is %v", seed, s.low, s.high, !single)
					}
				}
			}
			if at := wrong(k); at != "" {
				t.Fatalf("seed %d: %s", seed, at)
			}
		}
	}
}

// wrong returns what is wrong with the spans of k.
func wrong(k *Keeper) string {
	keys := make(map[*span]int)
	for key, e := range k.entries {
		if keys[e.span]++; key < e.span.low || key > e.span.high || !slices.Contains(k.spans, e.span) {
			return key + " is outside its span"
		}
	}
	for i, s := range k.spans {
		if s.keys == 0 || s.keys != keys[s] || s.low > s.high || i > 0 && k.spans[i-1].high >= s.low {
			return fmt.Sprintf("span %d, %s to %s, with %d keys", i, s.low, s.high, s.keys)
		}
	}
	return ""
}
