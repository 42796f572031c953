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
	// Revisions says how revisions are compared: those that wrappers write have no counterpart on
	// the other side.
	Revisions Revisions
	Steps     []Step
}

// Revisions is a way to compare revisions.
type Revisions int

const (
	Counted Revisions = iota // from the program's beginning
	Ranked                   // by their order; those of headers are not compared
	Ignored                  // not compared, nor are the versions of keys
)

// Config is how a client differs from the default configuration.
type Config struct {
	User, Password   string
	SendMax, RecvMax int // bytes, 0 for the default
	Retries          uint
	// AllEndpoints means that the client knows all members, not only the first.
	AllEndpoints bool
}

// Layer is one wrapper: "namespace", "leasing" and "cache" have a prefix, "ordering" has none.
// "cache" stands only in front of our client.
type Layer struct{ Kind, Prefix string }

// Step is one call. Each call says which fields it reads.
type Step struct {
	Call string // the method's name, or that of a helper
	On   string // the client it is called on, "" for the program's first
	Name string // the name of its result
	Ref  string // the name of an earlier step's result that it works on
	Ctx  Context
	Key  string
	// Value is the call's second text: a put's value, the name of a user, a password.
	Value      string
	N          int64
	Opts       []Option
	If         []Compare
	Then, Else []Step // operations
}

// Has reports whether the step has that option.
func (s Step) Has(option string) bool {
	return slices.ContainsFunc(s.Opts, func(o Option) bool { return o.Name == option })
}

// Option is an option, named after its function.
type Option struct {
	Name string
	S    string // a range's end; the name of a lease
	N    int64  // revisions are counted from the program's beginning
	M    int64  // the order of WithSort, whose target is N
	// Absolute means that the revision is N itself.
	Absolute bool
}

// Compare is one comparison of a transaction.
type Compare struct {
	Target string // the function's name: Value, Version, CreateRevision, ModRevision, LeaseValue
	Key    string
	Result string
	// V says what is compared with: Value if "string", N if "int64" or "int", the lease that Value
	// names if "lease", a float if "float".
	V        string
	Value    string
	N        int64  // a revision is counted from the program's beginning
	Absolute bool   // the revision is N itself
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
