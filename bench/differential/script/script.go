// Package script holds programs as data: lists of calls that either client can execute.
// A step names what it does as the client's API does, so a printed program reads like one.
package script

import (
	"slices"
	"time"
)

// Program is what both clients execute.
type Program struct {
	Family string
	Seed   uint64 // it was drawn from
	Config Config
	Stack  []Layer // wrappers around the client, the innermost first
	// Revisions is how they are compared: ones that wrappers write have no counterpart on the other
	// side.
	Revisions Revisions
	Steps     []Step
}

// Revisions is how revisions are compared.
type Revisions int

const (
	Counted Revisions = iota // from the program's beginning
	Ranked                   // by their order; those of headers not at all
	Ignored                  // not at all, nor are the versions of keys
)

// Config is what differs from a client's default configuration.
type Config struct {
	User, Password   string
	SendMax, RecvMax int // bytes, 0 for the default
	Retries          uint
	// AllEndpoints: the client knows all members, not only the first.
	AllEndpoints bool
}

// Layer is one wrapper: "namespace" and "leasing" have a prefix, "ordering" none. "cache" has one
// too, and stands before our client only.
type Layer struct{ Kind, Prefix string }

// Step is one call. Which fields it reads is said where the call is executed.
type Step struct {
	Call string // the method's name, or that of a helper
	On   string // the client it is called on, "" for the program's first
	Name string // what its result is called
	Ref  string // the name of a former step's result that it works on
	Ctx  Context
	Key  string
	// Value is a put's value, the name of a user, a password: whatever is the call's second text.
	Value      string
	N          int64
	Opts       []Option
	If         []Compare
	Then, Else []Step // operations
}

// Has is whether the step has that option.
func (s Step) Has(option string) bool {
	return slices.ContainsFunc(s.Opts, func(o Option) bool { return o.Name == option })
}

// Option is an option by its function's name.
type Option struct {
	Name string
	S    string // a range's end; the name of a lease
	N    int64  // revisions are counted from the program's beginning
	M    int64  // the order of WithSort, whose target is N
	// Absolute: the revision is what N says.
	Absolute bool
}

// Compare is one comparison of a transaction.
type Compare struct {
	Target string // the function's name: Value, Version, CreateRevision, ModRevision, LeaseValue
	Key    string
	Result string
	// Value is compared with if V is "string"; N if it is "int64" or "int"; the lease that Value
	// names if it is "lease"; a float if it is "float".
	V        string
	Value    string
	N        int64  // of revisions counted from the program's beginning
	Absolute bool   // the revision is what N says
	End      string // WithRange
	Prefix   bool
	NoTarget bool // Compare(Cmp{}, ...)
}

// Context says how a step's context ends.
type Context struct {
	// "" (after a time far above any answer), "cancelled" and "expired" (before the call),
	// "timeout", "cancel"
	Kind          string
	After         time.Duration
	RequireLeader bool
}

// Without returns the program without the steps from i up to, but not including, j.
func (p Program) Without(i, j int) Program {
	p.Steps = append(append([]Step(nil), p.Steps[:i]...), p.Steps[j:]...)
	return p
}

// With returns the program with another step i.
func (p Program) With(i int, s Step) Program {
	p.Steps = append([]Step(nil), p.Steps...)
	p.Steps[i] = s
	return p
}
