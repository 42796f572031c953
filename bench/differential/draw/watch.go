package draw

import "github.com/fairlead-go/fairlead/bench/differential/script"

// watches: with every option, from now and from the past, ended in every way.
func watches(d *drawer) script.Program {
	d.stacked = true // see compactions
	d.begin()
	d.some(d.length(), d.watchSteps()...)
	if d.chance(10) {
		d.add(script.Step{Call: pick(d, []string{"Watcher.Close", "Close"})})
		for _, w := range d.watching {
			d.add(script.Step{Call: "Drain", Ref: w})
		}
		if d.chance(30) {
			d.add(d.watch())
		}
	}
	return d.impatient()
}

func (d *drawer) watchSteps() []choice {
	return []choice{
		{20, func() { d.add(d.watch()) }},
		{30, func() { d.add(d.put()) }},
		{12, func() { d.add(d.del()) }},
		{8, func() { d.add(d.commit()) }},
		{18, func() { d.onWatch("Collect") }},
		{4, func() { d.onWatch("Progress") }},
		{4, func() { d.onWatch("CancelWatch") }},
		{2, func() { d.add(script.Step{Call: "RequestProgress", Ctx: d.context()}) }},
		{1, func() { d.add(script.Step{Call: "Fill", Key: "a/f", Value: string(make([]byte, 60<<10)), N: 40}) }},
		{1, func() { d.add(script.Step{Call: "Fill", Key: "a/f", Value: "fill", N: 30}) }},
	}
}

func (d *drawer) onWatch(call string) {
	if len(d.watching) > 0 {
		d.add(script.Step{Call: call, Ref: pick(d, d.watching)})
	}
}

func (d *drawer) watch() script.Step {
	s := script.Step{Call: "Watch", Name: d.name("w"), Key: d.key(), Ctx: d.context()}
	if s.Opts = d.span(); len(s.Opts) > 1 {
		s.Opts = s.Opts[:1]
	}
	if d.stacked && len(s.Opts) == 1 && s.Opts[0].Name == "WithRange" && s.Opts[0].S <= s.Key {
		s.Opts = nil
	}
	add := func(percent int, o script.Option) {
		if d.chance(percent) {
			s.Opts = append(s.Opts, o)
		}
	}
	if add(30, d.revision("WithRev")); len(s.Opts) > 0 {
		// A watch from a future revision keeps the server from answering requests for progress on
		// its stream. In the official client, watches that require a leader have another stream.
		s.Ctx.RequireLeader = false
	}
	add(30, opt("WithPrevKV"))
	add(12, opt("WithFilterPut"))
	if !s.Has("WithFilterPut") { // a watch that sees neither would not show whether it is alive
		add(12, opt("WithFilterDelete"))
	}
	add(15, opt("WithCreatedNotify"))
	add(10, opt("WithProgressNotify"))
	add(10, opt("WithFragment"))
	// Given both a prefix and a from-key, one client refuses them and the other takes the last.
	if o := d.nonsense(); len(o) > 0 && o[0].Name != "WithPrefix" && o[0].Name != "WithFromKey" {
		s.Opts = append(s.Opts, o...)
	}
	return s
}

// compactions: reads, watches and comparisons below a compacted revision.
func compactions(d *drawer) script.Program {
	// No empty ranges: the second response of the official client to a compacted watch may have
	// the reason of another watch.
	d.stacked = true
	d.begin()
	d.some(d.length(),
		choice{30, func() { d.add(d.put()) }},
		choice{8, func() { d.add(d.del()) }},
		choice{15, func() { d.add(d.compact()) }},
		choice{15, func() {
			s := d.get()
			s.Opts = append(s.Opts, d.revision("WithRev"))
			d.add(s)
		}},
		choice{5, func() {
			s := d.stream()
			s.Opts = append(s.Opts, d.revision("WithRev"))
			d.add(s)
		}},
		choice{5, func() { d.add(d.commit()) }},
		choice{12, func() {
			s := d.watch()
			s.Opts = append(s.Opts, d.revision("WithRev"))
			d.add(s)
		}},
		choice{10, func() { d.onWatch("Collect") }},
		choice{3, func() { d.add(script.Step{Call: "HashKV", N: d.revision("WithRev").N}) }},
	)
	return d.program()
}

func (d *drawer) compact() script.Step {
	s := script.Step{Call: "Compact", N: int64(d.IntN(d.writes+3) - 1), Ctx: d.context()}
	if d.chance(20) {
		s.Opts = append(s.Opts, opt("WithCompactPhysical"))
	}
	return s
}

// limits: messages that are too large, for the client or the server.
func limits(d *drawer) script.Program {
	d.sane = true
	// Events that come together share a message, which may be too large for the client. So none
	// do.
	apart := func(s script.Step) {
		d.add(s)
		for _, w := range d.watching {
			d.add(script.Step{Call: "Collect", Ref: w})
		}
	}
	size := pick(d, []int{1000, 10000, 2 << 20})
	d.some(3+d.IntN(8),
		choice{40, func() {
			s := d.put()
			s.Value = string(make([]byte, size/2+d.IntN(size)))
			apart(s)
		}},
		choice{40, func() {
			s := d.get()
			s.Opts = append(s.Opts, opt("WithPrefix"))
			d.add(s)
		}},
		choice{10, func() { apart(d.commit()) }},
		choice{10, func() { d.add(d.stream()) }},
		choice{10, func() { apart(d.watch()) }},
	)
	p := d.program()
	if d.chance(70) {
		p.Config.RecvMax, p.Config.SendMax = size, size
	}
	return p
}
