// Package draw makes programs from seeds. The same seed gives the same program.
package draw

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// Families are the kinds of programs, by name.
var families = map[string]func(*drawer) script.Program{
	"kv": kv, "txn": txns, "lease": leases, "watch": watches, "compaction": compactions, "limits": limits,
	"auth": access, "maintenance": maintenance, "wrappers": wrappers, "leasing": leasings, "cache": caches,
	"locks": locks, "stm": stms, "contexts": contexts, "frozen": frozen, "quorum": quorum, "expiry": expiries,
}

// Program draws a program of a family.
func Program(family string, seed uint64) script.Program {
	d := &drawer{Rand: rand.New(rand.NewPCG(seed, uint64(len(family)))), keys: keys}
	p := families[family](d)
	p.Family, p.Seed = family, seed
	return p
}

// drawer draws one program.
type drawer struct {
	*rand.Rand
	keys     []string
	bounded  bool     // no ranges over everything: wrappers keep keys of their own
	sane     bool     // no senseless options
	plain    bool     // no serializable reads: a cache's may be old
	stacked  bool     // no empty ranges of watches: not every wrapper reports why such a watch ends
	timeless bool     // no revisions, versions or previous values
	granted  bool     // no leases that were never granted
	leases   []string // granted so far
	watching []string // watches opened so far
	writes   int      // so far, approximately
	made     int      // names so far
	steps    []script.Step
}

// keys are few, so that calls share them; most begin with "a".
var keys = []string{"a", "a/", "a/1", "a/1", "a/2", "a/2", "a/3", "ab", "b", "b/1", "c"}

// odd are keys that need care.
var odd = []string{"", "\x00", "\xff", "\xff\xff", "a\xff", "a/\x00"}

var values = []string{"", "1", "1", "2", "3", "value"}

func (d *drawer) chance(percent int) bool { return d.IntN(100) < percent }

func pick[T any](d *drawer, list []T) T { return list[d.IntN(len(list))] }

func (d *drawer) key() string {
	if d.chance(4) && !d.sane {
		return pick(d, odd)
	}
	return pick(d, d.keys)
}

func (d *drawer) name(kind string) string {
	d.made++
	return fmt.Sprintf("%s%d", kind, d.made)
}

func (d *drawer) add(steps ...script.Step) {
	for _, s := range steps {
		d.steps = append(d.steps, s)
		switch s.Call {
		case "Put", "Delete", "Txn", "Do":
			d.writes++
		case "Fill":
			d.writes += int(s.N)
		case "Grant":
			d.leases = append(d.leases, s.Name)
		case "Watch":
			d.watching = append(d.watching, s.Name)
		}
	}
}

// choice is a step that is drawn as often as its weight says.
type choice struct {
	weight int
	draw   func()
}

// some adds up to n steps.
func (d *drawer) some(n int, choices ...choice) {
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	for range n {
		at := d.IntN(total)
		for _, c := range choices {
			if at -= c.weight; at < 0 {
				c.draw()
				break
			}
		}
	}
}

// length returns how many steps a program has after those that it begins with.
func (d *drawer) length() int { return 5 + d.IntN(20) }

func (d *drawer) program() script.Program { return script.Program{Steps: d.steps} }

// context is mostly one that does not end during the call.
func (d *drawer) context() script.Context {
	var c script.Context
	if d.chance(3) {
		c.Kind = pick(d, []string{"cancelled", "expired"})
	}
	c.RequireLeader = d.chance(3)
	return c
}

// lease names a lease that was granted or one that never existed.
func (d *drawer) lease() string {
	if len(d.leases) == 0 || d.chance(8) && !d.granted {
		return "4711"
	}
	return pick(d, d.leases)
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// Names returns the names of the families, sorted.
func Names() []string {
	var names []string
	for name := range families {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Match returns the families whose names contain a text.
func Match(text string) []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return !strings.Contains(name, text) })
}
