package draw

import "github.com/fairlead-go/fairlead/bench/differential/script"

// leases: granted, attached, renewed, revoked.
func leases(d *drawer) script.Program {
	d.add(script.Step{Call: "Grant", Name: d.name("l"), N: 600})
	d.some(d.length(), d.leaseSteps()...)
	return d.program()
}

func (d *drawer) leaseSteps() []choice {
	kept := make(map[string]bool)
	return []choice{
		{15, func() {
			ttl := int64(60 + d.IntN(600))
			if d.chance(5) {
				ttl = pick(d, []int64{0, -1, 1, 9000000000, 9000000001, 1 << 40})
			}
			d.add(script.Step{Call: "Grant", Name: d.name("l"), N: ttl, Ctx: d.context()})
		}},
		{25, func() {
			s := d.put()
			s.Opts = append(s.Opts, script.Option{Name: "WithLease", S: d.lease()})
			d.add(s)
		}},
		{8, func() { d.add(d.get()) }},
		{4, func() { d.add(d.del()) }},
		{12, func() { d.add(script.Step{Call: "Revoke", Ref: d.lease(), Ctx: d.context()}) }},
		{18, func() {
			s := script.Step{Call: "TimeToLive", Ref: d.lease(), Ctx: d.context()}
			if d.chance(70) {
				s.Opts = append(s.Opts, opt("WithAttachedKeys"))
			}
			d.add(s)
		}},
		{6, func() { d.add(script.Step{Call: "Leases", Ctx: d.context()}) }},
		{8, func() { d.add(script.Step{Call: "KeepAliveOnce", Ref: d.lease(), Ctx: d.context()}) }},
		{8, func() {
			// A second channel of the same lease gets its first answer when the next renewal is
			// due.
			if l := d.lease(); !kept[l] {
				kept[l] = true
				d.add(script.Step{Call: "KeepAlive", Name: d.name("k"), Ref: l, Ctx: d.context()})
			}
		}},
		{2, func() { d.add(script.Step{Call: "Lease.Close"}) }},
	}
}

// expiries: leases and tokens whose time runs out.
func expiries(d *drawer) script.Program {
	d.stacked = true // see compactions
	if d.chance(40) {
		kept := script.Step{Call: "Grant", Name: d.name("l"), N: 3}
		k := d.name("k")
		d.add(kept, script.Step{Call: "KeepAlive", Name: k, Ref: kept.Name},
			script.Step{Call: "NextAnswer", Ref: k}, script.Step{Call: "NextAnswer", Ref: k})
	}
	// Short enough to wait for its end, long enough for the next steps to find it.
	short := script.Step{Call: "Grant", Name: d.name("l"), N: 2}
	d.add(
		short,
		script.Step{Call: "Put", Key: "a/1", Value: "1", Opts: []script.Option{{Name: "WithLease", S: short.Name}}},
	)
	if d.chance(50) {
		d.add(
			script.Step{
				Call: "Watch",
				Name: d.name("w"),
				Key:  "a",
				Opts: []script.Option{opt("WithPrefix"), opt("WithPrevKV")},
			},
		)
	}
	if d.chance(50) {
		d.add(script.Step{Call: "NewSession", Name: "s", N: 60, Ref: short.Name},
			script.Step{Call: pick(d, []string{"Lock", "Campaign"}), Ref: "s", Key: "lock", Value: "1"},
			script.Step{Call: "Orphan", Ref: "s"})
	}
	d.add(script.Step{Call: "LeaseEnded", Ref: short.Name})
	if d.chance(50) {
		d.add(script.Step{Call: "Rest", N: 2500}) // tokens live for two seconds
	}
	// Streams of the official client keep the token that they began with, so they get no new
	// requests from here on.
	d.some(
		2+d.IntN(5),
		choice{
			20,
			func() { d.add(d.get()) },
		},
		choice{20, func() { d.add(d.put()) }},
		choice{20, func() { d.add(d.commit()) }},
		choice{20, func() { d.add(script.Step{Call: "Grant", Name: d.name("l"), N: 600}) }},
		choice{20, func() { d.add(script.Step{Call: "Revoke", Ref: d.lease()}) }},
		choice{20, func() {
			d.add(script.Step{Call: "TimeToLive", Ref: d.lease(), Opts: []script.Option{opt("WithAttachedKeys")}})
		}},
		choice{10, func() { d.add(script.Step{Call: "KeepAliveOnce", Ref: d.lease()}) }},
	)
	for _, w := range d.watching {
		d.add(script.Step{Call: "Collect", Ref: w})
	}
	p := d.program()
	p.Config.User, p.Config.Password = "root", "rootpw"
	p.Revisions = script.Ranked // the end of a lease falls at a random time
	return p
}
