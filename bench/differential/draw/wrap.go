package draw

import "github.com/fairlead-go/fairlead/bench/differential/script"

// wrappers: namespaces and ordering, stacked in any order.
func wrappers(d *drawer) script.Program {
	var stack []script.Layer
	for range 1 + d.IntN(3) {
		stack = append(stack, pick(d, []script.Layer{
			{
				Kind:   "namespace",
				Prefix: "n/",
			}, {Kind: "namespace", Prefix: "m"}, {Kind: "namespace", Prefix: "\xff"}, {Kind: "ordering"},
		}))
	}
	d.stacked, d.sane = true, true
	d.begin()
	d.wrapped()
	p := d.program()
	p.Stack = stack
	return p
}

// wrapped adds steps of all kinds.
func (d *drawer) wrapped() {
	d.some(d.length(), append(d.watchSteps(),
		choice{30, func() { d.add(d.get()) }},
		choice{10, func() { d.add(d.commit()) }},
		choice{10, func() { d.add(d.do()) }},
		choice{5, func() { d.add(d.stream()) }},
		choice{3, func() { d.add(d.compact()) }},
		choice{5, func() {
			d.add(script.Step{Call: "TimeToLive", Ref: d.lease(), Opts: []script.Option{opt("WithAttachedKeys")}})
		}},
		choice{2, func() { d.add(script.Step{Call: "Revoke", Ref: d.lease()}) }},
	)...)
}

// leasings: leasing among the other wrappers. It keeps keys of its own, so nothing reads
// everything. In the official client a write with a lease that does not exist never returns.
func leasings(d *drawer) script.Program {
	d.bounded, d.timeless, d.sane, d.granted = true, true, true, true
	d.add(script.Step{Call: "Grant", Name: d.name("l"), N: 600})
	stack := []script.Layer{{Kind: "leasing", Prefix: "leasing/"}}
	for range d.IntN(3) {
		l := pick(
			d,
			[]script.Layer{{Kind: "namespace", Prefix: "n/"}, {Kind: "namespace", Prefix: "m"}, {Kind: "ordering"}},
		)
		if d.chance(50) {
			stack = append(stack, l)
		} else {
			stack = append([]script.Layer{l}, stack...)
		}
	}
	d.begin()
	d.some(d.length(),
		choice{40, func() { d.add(d.get()) }},
		choice{30, func() { d.add(d.put()) }},
		choice{10, func() { d.add(d.del()) }},
		choice{15, func() { d.add(d.commit()) }},
		choice{5, func() { d.add(d.do()) }},
		choice{3, func() { d.add(d.stream()) }},
	)
	if d.chance(20) {
		d.add(script.Step{Call: "Revoke", Ref: d.lease()}, d.get(), d.get())
	}
	p := d.program()
	p.Stack, p.Revisions = stack, script.Ignored // the official client writes a key without an owner twice
	return p
}

// caches: a cache of some of the keys, only in front of our client.
func caches(d *drawer) script.Program {
	d.plain, d.stacked = true, true
	d.begin()
	d.wrapped()
	p := d.program()
	p.Stack = []script.Layer{{Kind: "cache", Prefix: pick(d, []string{"a", "a/", "b"})}}
	return p
}
