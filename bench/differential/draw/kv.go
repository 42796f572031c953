package draw

import (
	"slices"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

func opt(name string) script.Option { return script.Option{Name: name} }

// kv: single operations with every option.
func kv(d *drawer) script.Program {
	d.begin()
	d.some(d.length(),
		choice{35, func() { d.add(d.put()) }},
		choice{35, func() { d.add(d.get()) }},
		choice{10, func() { d.add(d.del()) }},
		choice{8, func() { d.add(d.do()) }},
		choice{6, func() { d.add(script.Step{Call: "Op", Then: []script.Step{d.anyOp()}}) }},
		choice{6, func() { d.add(d.stream()) }},
	)
	return d.program()
}

// begin grants a lease or two, and puts some keys.
func (d *drawer) begin() {
	for range d.IntN(3) {
		d.add(script.Step{Call: "Grant", Name: d.name("l"), N: 600})
	}
	for range d.IntN(4) {
		d.add(d.put())
	}
}

func (d *drawer) put() script.Step {
	s := script.Step{Call: "Put", Key: d.key(), Value: pick(d, values), Ctx: d.context()}
	if d.chance(25) {
		s.Opts = append(s.Opts, script.Option{Name: "WithLease", S: d.lease()})
	}
	if d.chance(30) && !d.timeless {
		s.Opts = append(s.Opts, opt("WithPrevKV"))
	}
	if d.chance(10) {
		s.Opts = append(s.Opts, opt("WithIgnoreValue"))
		if !d.chance(15) {
			s.Value = ""
		}
	}
	if d.chance(10) {
		s.Opts = append(s.Opts, opt("WithIgnoreLease"))
	}
	s.Opts = append(s.Opts, d.nonsense()...)
	return s
}

func (d *drawer) get() script.Step {
	s := script.Step{Call: "Get", Key: d.key(), Ctx: d.context(), Opts: d.span()}
	add := func(percent int, o script.Option) {
		if d.chance(percent) {
			s.Opts = append(s.Opts, o)
		}
	}
	if !d.timeless {
		add(20, d.revision("WithRev"))
		for _, name := range []string{"WithMinModRev", "WithMaxModRev", "WithMinCreateRev", "WithMaxCreateRev"} {
			add(7, d.revision(name))
		}
	}
	add(20, script.Option{Name: "WithLimit", N: int64(d.IntN(5))})
	if !d.plain {
		add(20, opt("WithSerializable"))
	}
	add(10, opt("WithKeysOnly"))
	add(10, opt("WithCountOnly"))
	if sort := (script.Option{Name: "WithSort", N: int64(d.IntN(5)), M: int64(d.IntN(3))}); !d.timeless ||
		sort.N == 0 ||
		sort.N == 4 {
		add(25, sort)
	}
	if !d.sane {
		add(2, script.Option{Name: "WithSort", N: int64(d.IntN(8) - 1), M: int64(d.IntN(5) - 1)})
		add(1, script.Option{Name: "WithLimit", N: -1})
	}
	several := []string{
		"WithFirstKey",
		"WithLastKey",
		"WithFirstCreate",
		"WithLastCreate",
		"WithFirstRev",
		"WithLastRev",
	}
	if d.timeless {
		several = several[:2]
	}
	add(6, opt(pick(d, several)))
	s.Opts = append(s.Opts, d.nonsense()...)
	d.Shuffle(len(s.Opts), func(i, j int) { s.Opts[i], s.Opts[j] = s.Opts[j], s.Opts[i] })
	return s
}

func (d *drawer) del() script.Step {
	s := script.Step{Call: "Delete", Key: d.key(), Ctx: d.context(), Opts: d.span()}
	if d.chance(40) && !d.timeless {
		s.Opts = append(s.Opts, opt("WithPrevKV"))
	}
	s.Opts = append(s.Opts, d.nonsense()...)
	return s
}

func (d *drawer) stream() script.Step {
	s := d.get()
	s.Call = "GetStream"
	if d.stacked || d.bounded {
		// Streams are compared with Get here: in a stream a server counts otherwise if the options
		// say what is not to be sorted.
		s.Opts = slices.DeleteFunc(s.Opts,
			func(o script.Option) bool { return o.Name == "WithSort" && o.N != 0 && o.M == 0 })
	}
	if d.chance(50) {
		s.Value = "together"
	}
	return s
}

// span draws the end of a range.
func (d *drawer) span() []script.Option {
	switch n := d.IntN(100); {
	case n < 40:
		return nil
	case n < 70:
		return []script.Option{opt("WithPrefix")}
	case n < 90:
		return []script.Option{{Name: "WithRange", S: d.key()}}
	case n < 97 || d.sane:
		if d.bounded {
			return []script.Option{opt("WithPrefix")}
		}
		return []script.Option{opt("WithFromKey")}
	}
	return []script.Option{
		opt(pick(d, []string{"WithPrefix", "WithFromKey"})),
		opt("WithFromKey"),
		{Name: "WithRange", S: d.key()},
	}
}

// revision is mostly one from the program itself.
func (d *drawer) revision(name string) script.Option {
	if d.chance(6) && !d.sane {
		return script.Option{Name: name, Absolute: true, N: pick(d, []int64{0, -1, 1, 1 << 40})}
	}
	return script.Option{Name: name, N: int64(d.IntN(d.writes+3) - 1)}
}

// nonsense is, rarely, an option that some operations have no use for.
func (d *drawer) nonsense() []script.Option {
	if d.sane || !d.chance(3) {
		return nil
	}
	return []script.Option{d.anyOption()}
}

func (d *drawer) anyOption() script.Option {
	switch o := opt(pick(d, optionNames)); o.Name {
	case "WithSerializable":
		if d.plain {
			return opt("WithKeysOnly")
		}
		return o
	case "WithLease":
		o.S = d.lease()
		return o
	case "WithLimit":
		o.N = int64(d.IntN(3))
		return o
	case "WithRange":
		o.S = d.key()
		return o
	case "WithSort":
		o.N, o.M = int64(d.IntN(5)), int64(d.IntN(3))
		return o
	case "WithRev", "WithMinModRev", "WithMaxModRev", "WithMinCreateRev", "WithMaxCreateRev":
		return d.revision(o.Name)
	default:
		return o
	}
}

var optionNames = []string{
	"WithLease", "WithLimit", "WithRange", "WithSort", "WithRev", "WithMinModRev", "WithMaxModRev", "WithMinCreateRev",
	"WithMaxCreateRev", "WithPrefix", "WithFromKey", "WithSerializable", "WithKeysOnly", "WithCountOnly", "WithPrevKV",
	"WithIgnoreValue", "WithIgnoreLease", "WithProgressNotify", "WithCreatedNotify", "WithFilterPut",
	"WithFilterDelete",
	"WithFragment", "WithWatchBufLog", "WithFirstKey", "WithLastRev",
}

// do wraps an operation in Do.
func (d *drawer) do() script.Step {
	op := d.operation(2)
	s := script.Step{Call: "Do", Then: []script.Step{op}, Ctx: d.context()}
	if d.chance(3) && !d.sane {
		s.Then[0] = script.Step{Call: pick(d, []string{"Empty", "Watch"}), Key: d.key()}
	}
	return s
}

// operation is a get, put, delete, or a transaction of at most that depth.
func (d *drawer) operation(depth int) script.Step {
	var s script.Step
	switch n := d.IntN(100); {
	case n < 40:
		s = d.put()
	case n < 75:
		s = d.get()
		// If a transaction has several mistakes, each client reports another one first.
		s.Opts = slices.DeleteFunc(s.Opts, func(o script.Option) bool {
			return o.Name == "WithSort" && (o.N < 0 || o.N > 4 || o.M < 0 || o.M > 2)
		})
	case n < 88 || depth == 0:
		s = d.del()
	default:
		s = d.txn(depth - 1)
	}
	s.Ctx = script.Context{}
	return s
}

// anyOp is an operation with any options.
func (d *drawer) anyOp() script.Step {
	s := script.Step{Call: pick(d, []string{"Get", "Put", "Delete", "Watch"}), Key: d.key()}
	for range d.IntN(5) {
		s.Opts = append(s.Opts, d.anyOption())
	}
	return s
}
