package script

import (
	"fmt"
	"strings"
)

// String writes one step per line.
func (p Program) String() string {
	var b strings.Builder
	if p.Config != (Config{}) {
		fmt.Fprintf(&b, "  config %+v\n", p.Config)
	}
	for _, l := range p.Stack {
		fmt.Fprintf(&b, "  wrapped in %s %q\n", l.Kind, l.Prefix)
	}
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "%3d %s\n", i, s)
	}
	return b.String()
}

func (s Step) String() string {
	var b strings.Builder
	if s.Name != "" {
		b.WriteString(s.Name + " := ")
	}
	if s.On != "" {
		b.WriteString(s.On + ".")
	}
	b.WriteString(s.Call + "(")
	var args []string
	if c := s.Ctx.String(); c != "" {
		args = append(args, c)
	}
	if s.Ref != "" {
		args = append(args, s.Ref)
	}
	if s.Key != "" || needsKey[s.Call] {
		args = append(args, fmt.Sprintf("%q", s.Key))
	}
	if s.Value != "" || s.Call == "Put" {
		args = append(args, short(s.Value))
	}
	if s.N != 0 {
		args = append(args, fmt.Sprint(s.N))
	}
	for _, o := range s.Opts {
		args = append(args, o.String())
	}
	b.WriteString(strings.Join(args, ", ") + ")")
	part := func(name string, n int, item func(int) string) {
		if n == 0 {
			return
		}
		list := make([]string, n)
		for i := range list {
			list[i] = item(i)
		}
		fmt.Fprintf(&b, ".%s(%s)", name, strings.Join(list, ", "))
	}
	part("If", len(s.If), func(i int) string { return s.If[i].String() })
	part("Then", len(s.Then), func(i int) string { return s.Then[i].String() })
	part("Else", len(s.Else), func(i int) string { return s.Else[i].String() })
	return b.String()
}

var needsKey = map[string]bool{"Get": true, "Put": true, "Delete": true, "Watch": true, "GetStream": true}

// short writes long values by their length.
func short(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%d bytes", len(s))
	}
	return fmt.Sprintf("%q", s)
}

func (c Context) String() string {
	s := c.Kind
	if c.After > 0 {
		s += " after " + c.After.String()
	}
	if c.RequireLeader {
		s = strings.TrimSpace(s + " requiring a leader")
	}
	if s != "" {
		s = "ctx " + s
	}
	return s
}

func (o Option) String() string {
	switch o.Name {
	case "WithLease":
		return o.Name + "(" + o.S + ")"
	case "WithRange":
		return fmt.Sprintf("%s(%q)", o.Name, o.S)
	case "WithSort":
		return fmt.Sprintf("%s(%d, %d)", o.Name, o.N, o.M)
	case "WithLimit":
		return fmt.Sprintf("%s(%d)", o.Name, o.N)
	case "WithRev", "WithMinModRev", "WithMaxModRev", "WithMinCreateRev", "WithMaxCreateRev":
		if o.Absolute {
			return fmt.Sprintf("%s(%d)", o.Name, o.N)
		}
		return fmt.Sprintf("%s(r%+d)", o.Name, o.N)
	}
	if o.S != "" {
		return fmt.Sprintf("%s(%q)", o.Name, o.S)
	}
	if o.N != 0 {
		return fmt.Sprintf("%s(%d)", o.Name, o.N)
	}
	return o.Name + "()"
}

func (c Compare) String() string {
	v := fmt.Sprint(c.N)
	switch c.V {
	case "string":
		v = short(c.Value)
	case "lease":
		v = c.Value
	case "float":
		v = "1.5"
	}
	s := fmt.Sprintf("Compare(%s(%q), %q, %s)", c.Target, c.Key, c.Result, v)
	if c.NoTarget {
		s = fmt.Sprintf("Compare(Cmp{}, %q, %s)", c.Result, v)
	}
	if c.End != "" {
		s += fmt.Sprintf(".WithRange(%q)", c.End)
	}
	if c.Prefix {
		s += ".WithPrefix()"
	}
	return s
}
