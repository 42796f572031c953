package draw

import "github.com/fairlead-go/fairlead/bench/differential/script"

// txns: transactions with every comparison, nested ones too.
func txns(d *drawer) script.Program {
	d.begin()
	d.some(d.length(),
		choice{60, func() { d.add(d.commit()) }},
		choice{20, func() { d.add(d.put()) }},
		choice{10, func() { d.add(d.get()) }},
		choice{10, func() { d.add(d.do()) }},
	)
	return d.program()
}

func (d *drawer) commit() script.Step {
	s := d.txn(2)
	s.Ctx = d.context()
	if d.chance(15) {
		s.Value = pick(d, []string{"IT", "T", "", "IE", "E", "I", "TE"})
	}
	if d.chance(2) && !d.sane {
		s.Value = pick(d, []string{"TI", "II", "TT", "EE", "ET", "EI"})
	}
	return s
}

func (d *drawer) txn(depth int) script.Step {
	s := script.Step{Call: "Txn"}
	for range d.IntN(3) {
		s.If = append(s.If, d.compare())
	}
	for range d.IntN(3) {
		s.Then = append(s.Then, d.operation(depth))
	}
	for range d.IntN(3) {
		s.Else = append(s.Else, d.operation(depth))
	}
	return s
}

func (d *drawer) compare() script.Compare {
	targets := []string{"Value", "LeaseValue", "Version", "CreateRevision", "ModRevision"}
	if d.timeless {
		targets = targets[:2]
	}
	c := script.Compare{
		Target: pick(d, targets), Key: d.key(),
		Result: pick(d, []string{"=", "=", "!=", ">", "<"}), V: "int64", N: int64(d.IntN(d.writes + 2)),
	}
	switch c.Target {
	case "Value":
		c.V, c.Value = "string", pick(d, values)
	case "LeaseValue":
		c.V, c.Value, c.Result = "lease", d.lease(), pick(
			d,
			[]string{"=", "!="},
		) // it is chance whose id is larger
		if d.chance(40) {
			c.V, c.N = "int", 0
		}
	case "Version":
		c.V, c.N = pick(d, []string{"int", "int64"}), int64(d.IntN(4))
	default:
		if d.chance(40) {
			c.N, c.Absolute = 0, true
		}
	}
	if d.chance(10) {
		c.Prefix = true
	} else if d.chance(10) {
		c.End = d.key()
	}
	if d.chance(2) && !d.sane && !d.stacked {
		switch d.IntN(4) {
		case 0:
			c.Result = pick(d, []string{"==", "", "<=", "≠"})
		case 1:
			c.V = pick(d, []string{"string", "float", "int"})
		case 2:
			c.NoTarget = true
		case 3:
			c.V, c.Value = "string", "text"
		}
	}
	return c
}
