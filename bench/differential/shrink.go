package main

import (
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// shrinkFor bounds the search for a shorter program; each try runs it again.
const shrinkFor = time.Minute

// shrinkTries is smaller than tries, since many programs are tried.
const shrinkTries = 3

// shrink looks for the shortest program that still shows a difference. If a program does not show
// it again, it is returned as it is: the difference depends on time.
func (r *rig) shrink(p script.Program, diffs []report.Difference) (script.Program, []report.Difference) {
	end := time.Now().Add(shrinkFor)
	differs := func(q script.Program) bool {
		reports, err := r.run(q)
		if err != nil {
			return false
		}
		v, err := r.judge(q, reports, shrinkTries)
		if err != nil || v.chance || len(v.unknown) == 0 {
			return false
		}
		p, diffs = q, v.unknown
		return true
	}
	for progress := true; progress && time.Now().Before(end); {
		progress = false
		for q := range simpler(p) {
			if time.Now().After(end) {
				break
			}
			if differs(q) {
				progress = true
				break
			}
		}
	}
	return p, diffs
}

// simpler yields programs with something less, much smaller ones first.
func simpler(p script.Program) func(yield func(script.Program) bool) {
	return func(yield func(script.Program) bool) {
		for n := len(p.Steps) / 2; n > 0; n /= 2 {
			for i := len(p.Steps) - n; i >= 0; i-- {
				if !yield(p.Without(i, i+n)) {
					return
				}
			}
		}
		for i := range p.Stack {
			q := p
			q.Stack = slices.Delete(slices.Clone(p.Stack), i, i+1)
			if !yield(q) {
				return
			}
		}
		user := (script.Config{User: p.Config.User, Password: p.Config.Password, Retries: p.Config.Retries})
		if p.Config != user {
			q := p
			q.Config = user // without a user everything is refused
			if !yield(q) {
				return
			}
		}
		for i, s := range p.Steps {
			for t := range simplerStep(s) {
				if !yield(p.With(i, t)) {
					return
				}
			}
		}
	}
}

func simplerStep(s script.Step) func(yield func(script.Step) bool) {
	return func(yield func(script.Step) bool) {
		if s.Ctx.Kind != "" && !ends(s.Ctx) {
			t := s
			t.Ctx = script.Context{}
			if !yield(t) {
				return
			}
		}
		if s.Ctx.RequireLeader {
			t := s
			t.Ctx.RequireLeader = false
			if !yield(t) {
				return
			}
		}
		for i := range s.Opts {
			t := s
			t.Opts = slices.Delete(slices.Clone(s.Opts), i, i+1)
			if !yield(t) {
				return
			}
		}
		for i := range s.If {
			t := s
			t.If = slices.Delete(slices.Clone(s.If), i, i+1)
			if !yield(t) {
				return
			}
		}
		for _, part := range []func(*script.Step) *[]script.Step{
			func(s *script.Step) *[]script.Step { return &s.Then },
			func(s *script.Step) *[]script.Step { return &s.Else },
		} {
			ops := *part(&s)
			for i := range ops {
				if s.Call != "Do" && s.Call != "Op" {
					t := s
					*part(&t) = slices.Delete(slices.Clone(ops), i, i+1)
					if !yield(t) {
						return
					}
				}
				for op := range simplerStep(ops[i]) {
					t := s
					*part(&t) = slices.Clone(ops)
					(*part(&t))[i] = op
					if !yield(t) {
						return
					}
				}
			}
		}
	}
}
