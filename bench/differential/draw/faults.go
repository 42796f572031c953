package draw

import "github.com/fairlead-go/fairlead/bench/differential/script"

// maintenance: calls with the same answer on any cluster of one member. MoveLeader is not among
// them: for a member that it does not know, a server waits long.
func maintenance(d *drawer) script.Program {
	d.begin()
	d.some(d.length(), d.maintaining()...)
	return d.impatient()
}

func (d *drawer) maintaining() []choice {
	call := func(weight int, name string, values ...string) choice {
		return choice{weight, func() {
			s := script.Step{Call: name, Ctx: d.context(), N: int64(d.IntN(3))}
			if len(values) > 0 {
				s.Value = pick(d, values)
			}
			d.add(s)
		}}
	}
	return []choice{
		{10, func() { d.add(d.put()) }},
		{10, func() {
			s := script.Step{Call: "MemberList", Ctx: d.context()}
			if d.chance(40) {
				s.Opts = append(s.Opts, opt("WithSerializable"))
			}
			s.Opts = append(s.Opts, d.nonsense()...)
			d.add(s)
		}},
		call(3, "MemberAdd", "", "no url", "http://"),
		call(3, "MemberAddAsLearner", "", "no url", "http://"),
		call(3, "MemberRemove"),
		call(3, "MemberUpdate", "", "http://127.0.0.1:1"),
		call(3, "MemberPromote"),
		call(5, "AlarmList"),
		call(4, "AlarmDisarm"),
		call(1, "Defragment"),
		{1, func() {
			s := script.Step{Call: "Defragment", Value: pick(d, []string{"no endpoint:x", "http://127.0.0.1"})}
			s.Ctx = script.Context{Kind: "timeout", After: ms(200)} // neither client gives up before
			d.add(s)
		}},
		call(6, "Status"),
		call(6, "HashKV"),
		{4, func() {
			s := script.Step{
				Call:  "Downgrade",
				N:     int64(d.IntN(3)),
				Value: pick(d, []string{"", "3.6.0", "3.5.0", "4.0", "3.7.0", "x"}),
			}
			if s.N == 1 {
				s.Value = "3.5.0" // with 3.6.0 an enabled downgrade would succeed, and stay
			}
			d.add(s)
		}},
		call(2, "Snapshot"),
		call(2, "SnapshotWithVersion"),
		call(3, "AuthStatus"),
		call(2, "AuthDisable"),
		call(2, "AuthEnable"),
		call(2, "UserList"),
		call(2, "RoleList"),
		call(2, "Authenticate"),
		call(3, "Endpoints"),
		call(3, "Sync"),
		call(1, "Close"),
	}
}

// contexts: calls of all kinds whose context ends before or just after they begin, and on closed
// clients.
func contexts(d *drawer) script.Program {
	d.stacked = true // see compactions
	d.begin()
	d.some(d.length(), d.everything(func() script.Context {
		switch d.IntN(4) {
		case 0:
			return script.Context{Kind: "cancelled"}
		case 1:
			return script.Context{Kind: "expired"}
		}
		return script.Context{}
	})...)
	d.add(script.Step{Call: "Close"})
	d.some(3, d.everything(d.context)...)
	return d.impatient()
}

// impatient makes a program whose client may be closed. A closed official client repeats each call
// a hundred times by default, which takes 2.5 s.
func (d *drawer) impatient() script.Program {
	p := d.program()
	p.Config.Retries = 3
	return p
}

// everything returns all calls that make sense on a client without a program around it, with
// contexts from context.
func (d *drawer) everything(context func() script.Context) []choice {
	with := func(weight int, draw func() script.Step) choice {
		return choice{weight, func() {
			s := draw()
			s.Ctx = context()
			d.add(s)
		}}
	}
	call := func(weight int, name string) choice {
		return with(weight, func() script.Step { return script.Step{Call: name, N: 1} })
	}
	return []choice{
		with(10, d.get), with(10, d.put), with(5, d.del), with(8, d.commit), with(5, d.do), with(5, d.stream),
		with(5, func() script.Step {
			s := d.watch()
			s.Name = d.name("w")
			return s
		}),
		with(4, func() script.Step { return script.Step{Call: "Grant", Name: d.name("l"), N: 600} }),
		with(2, func() script.Step { return script.Step{Call: "Revoke", Ref: d.lease()} }),
		with(2, func() script.Step { return script.Step{Call: "TimeToLive", Ref: d.lease()} }),
		with(2, func() script.Step { return script.Step{Call: "KeepAliveOnce", Ref: d.lease()} }),
		with(2, func() script.Step { return script.Step{Call: "KeepAlive", Name: d.name("k"), Ref: "4711"} }),
		call(
			2,
			"Leases",
		), call(2, "MemberList"), call(2, "AlarmList"), call(2, "Status"), call(2, "HashKV"), call(1, "Snapshot"),
		call(2, "Compact"), call(2, "AuthStatus"), call(1, "UserList"), call(1, "RoleList"), call(1, "UserGet"),
		call(2, "Sync"), call(1, "Defragment"), call(1, "Authenticate"), call(1, "AlarmDisarm"),
		call(1, "MemberRemove"), call(1, "MemberPromote"), call(1, "Downgrade"),
	}
}

// frozen: the only member is frozen, and contexts end during calls.
func frozen(d *drawer) script.Program {
	d.sane = true
	d.begin()
	d.some(2, d.everything(func() script.Context { return script.Context{} })...)
	d.add(script.Step{Call: "Fault", Value: "freeze"})
	d.some(2+d.IntN(4), d.everything(d.soon)...)
	// There are no calls after the thaw: it is chance whether the member executes requests from
	// before.
	return d.program()
}

// soon is a context that ends while a call waits.
func (d *drawer) soon() script.Context {
	return script.Context{
		Kind: pick(d, []string{"timeout", "timeout", "cancel", "cancelled", "expired"}), After: ms(100 + d.IntN(150)),
		RequireLeader: d.chance(10),
	}
}

// quorum: one of three members runs.
func quorum(d *drawer) script.Program {
	d.sane = true // a call that is refused before it is sent needs no quorum
	d.leases = []string{"28673"}
	d.stacked = true // see compactions
	d.some(2+d.IntN(5), append(d.everything(d.soon),
		choice{30, func() {
			s := d.get()
			s.Opts = append(s.Opts, opt("WithSerializable"))
			d.add(s)
		}},
		choice{10, func() {
			d.add(script.Step{Call: "MemberList", Opts: []script.Option{opt("WithSerializable")}})
		}},
		choice{10, func() { d.add(script.Step{Call: "Status"}) }},
		choice{10, func() {
			s := d.operation(0)
			s.Ctx = script.Context{Kind: "timeout", After: ms(200), RequireLeader: true}
			d.add(s)
		}},
		choice{5, func() {
			w := script.Step{Call: "Watch", Name: d.name("w"), Key: "a", Ctx: script.Context{RequireLeader: true}}
			d.add(w, script.Step{Call: "Drain", Ref: w.Name})
		}},
	)...)
	for i, s := range d.steps {
		if s.Call == "Watch" && (i+1 == len(d.steps) || d.steps[i+1].Call != "Drain") {
			// Our client looks for a leader for a second before it uses a member without one.
			d.steps[i].Ctx = script.Context{}
		}
	}
	p := d.program()
	p.Config.AllEndpoints = d.chance(50)
	return p
}
