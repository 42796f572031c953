package draw

import "github.com/fairlead-go/fairlead/bench/differential/script"

// locks: mutexes and elections of several sessions, in one thread.
func locks(d *drawer) script.Program {
	d.sane, d.bounded = true, true
	var sessions []string
	open := func() {
		s := script.Step{Call: "NewSession", Name: d.name("s"), N: int64(60 + d.IntN(60))}
		sessions = append(sessions, s.Name)
		d.add(s)
	}
	open()
	open()
	step := func(call, value string) {
		s := script.Step{
			Call:  call,
			Ref:   pick(d, sessions),
			Key:   pick(d, []string{"lock", "lock", "other"}),
			Value: value,
		}
		switch call {
		case "Lock", "Campaign":
			s.Ctx = script.Context{Kind: "timeout", After: ms(500)} // somebody else may be the owner
		case "Unlock", "Resign":
			// With our client a failed one goes on in the background: see the end.
		default:
			s.Ctx = d.context()
			s.Ctx.RequireLeader = false
		}
		d.add(s)
	}
	mutexes := []choice{
		{25, func() { step("Lock", "") }},
		{20, func() { step("TryLock", "") }},
		{30, func() { step("Unlock", "") }},
		{10, func() { step("IsOwner", pick(d, values)) }},
	}
	elections := []choice{
		{30, func() { step("Campaign", d.name("v")) }},
		{15, func() { step("Proclaim", d.name("v")) }},
		{25, func() { step("Resign", "") }},
		{15, func() { step("Leader", "") }},
		{5, func() { step("ResumeElection", "") }},
		{5, func() {
			// The last proclamation must be observed.
			o, v := d.name("o"), d.name("v")
			s := pick(d, sessions)
			d.add(script.Step{Call: "Observe", Name: o, Ref: s, Key: "lock"},
				script.Step{Call: "Proclaim", Ref: s, Key: "lock", Value: v})
		}},
	}
	both := []choice{
		{5, open},
		{4, func() { d.add(script.Step{Call: "Session.Close", Ref: pick(d, sessions)}) }},
		{2, func() { d.add(script.Step{Call: "Orphan", Ref: pick(d, sessions)}) }},
		{3, func() { d.add(d.get()) }},
	}
	last := "Resign"
	if d.chance(50) {
		d.some(d.length(), append(mutexes, both...)...)
		last = "Unlock"
	} else {
		d.some(d.length(), append(elections, both...)...)
	}
	if d.chance(30) {
		s := script.Step{
			Call: last,
			Ref:  pick(d, sessions),
			Key:  "lock",
			Ctx:  script.Context{Kind: pick(d, []string{"cancelled", "expired"})},
		}
		d.add(s)
		if last == "Resign" {
			d.add(script.Step{Call: "Proclaim", Ref: s.Ref, Key: "lock", Value: d.name("v")})
		}
	}
	p := d.program()
	p.Revisions = script.Ranked
	return p
}

// stms: transactional memory of every isolation, with conflicts.
func stms(d *drawer) script.Program {
	d.begin()
	d.some(3+d.IntN(8),
		choice{70, func() { d.add(d.stm()) }},
		choice{10, func() { d.add(d.put()) }},
		choice{10, func() { d.add(d.get()) }},
	)
	return d.program()
}

func (d *drawer) stm() script.Step {
	s := script.Step{Call: "STM", N: int64(d.IntN(4)), Ctx: d.context()}
	if d.chance(30) {
		s.Opts = append(s.Opts, script.Option{Name: "WithPrefetch", S: d.key()})
	}
	for range 1 + d.IntN(6) {
		op := script.Step{Key: d.key(), Value: pick(d, values)}
		switch n := d.IntN(100); {
		case n < 40:
			op.Call = "Get"
		case n < 70:
			op.Call = "Put"
			if d.chance(15) && len(d.leases) > 0 {
				op.Opts = []script.Option{{Name: "WithLease", S: d.lease()}}
			}
		case n < 80:
			op.Call = "Delete"
		case n < 92:
			op.Call = "Rev"
		case n < 97:
			op.Call = "Touch"
		default:
			op.Call = "Fail"
		}
		s.Then = append(s.Then, op)
	}
	return s
}
