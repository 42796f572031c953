package console

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/internal/transfer"
)

const (
	// maxImport bounds a part of a file: it is enough for a line with the largest value that etcd
	// accepts by default, if all of it is control characters, which are escaped twice.
	maxImport = 16 << 20
	// importTime bounds the work on a part.
	importTime = 2 * time.Minute
	// importShown is how many keys of a plan are listed.
	importShown = 100
)

// importing is a file, or a part of one, and what to do with it.
type importing struct {
	File   string
	To     *[]byte // the prefix that replaces the file's; nil to keep that
	Leases bool    // see transfer.Options
	Absent bool    // see transfer.Options
	Seen   string  // of the plan to carry out; "" to make a plan
}

// imported is the plan of an import, or its result.
type imported struct {
	Keys      int64    `json:"keys"`
	Added     int64    `json:"added"`
	Changed   int64    `json:"changed"`
	Same      int64    `json:"same"`
	Kept      int64    `json:"kept"`      // they exist with another value
	Conflicts int64    `json:"conflicts"` // changed meanwhile, so not written
	Leases    int64    `json:"leases"`
	Writes    []shift  `json:"writes,omitempty"`  // the first keys that are written
	Leased    int64    `json:"leased"`            // keys that had a lease, which are left out
	LeftOut   [][]byte `json:"leftOut,omitempty"` // the first of them
	Seen      string   `json:"seen,omitempty"`
}

// shift is a key that an import writes.
type shift struct {
	Key []byte `json:"key"`
	Old bool   `json:"old,omitempty"` // it is there
}

// postImport makes the plan of an import of a part of a file, or carries out a plan if it is still
// the same. It leaves out a key that is written meanwhile.
func postImport(r *request) (any, error) {
	var in importing
	if err := decode(r.Request, &in); err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(importTime)
	defer cancel()
	plan := &imported{}
	sum := sha256.New()
	fmt.Fprint(sum, in.Leases, in.Absent)
	o := transfer.Options{Leases: in.Leases && !in.Absent, Absent: in.Absent, Dry: true}
	if in.To != nil {
		to := string(*in.To)
		o.To = &to
	}
	o.OnChange = func(d transfer.Difference) {
		fmt.Fprintf(sum, "%q %q %q ", d.Key, d.Old, d.New)
		if len(plan.Writes) < importShown {
			plan.Writes = append(plan.Writes, shift{[]byte(d.Key), d.HasOld})
		}
	}
	o.LeftOut = func(key string) {
		if len(plan.LeftOut) < importShown {
			plan.LeftOut = append(plan.LeftOut, []byte(key))
		}
	}
	res, err := transfer.Import(ctx, r.client, strings.NewReader(in.File), o)
	if err != nil {
		return nil, unusable(err)
	}
	plan.count(res)
	plan.Seen = hex.EncodeToString(sum.Sum(nil))
	if in.Seen == "" {
		return plan, nil
	}
	if in.Seen != plan.Seen {
		return nil, conflict("keys have changed since they were shown; nothing was written", nil)
	}
	if err := r.begin("import", importTarget(plan)); err != nil {
		return nil, err
	}
	o.Dry, o.OnChange, o.LeftOut = false, nil, nil
	res, err = transfer.Import(ctx, r.client, strings.NewReader(in.File), o)
	done := &imported{}
	done.count(res)
	r.change.After = fmt.Sprintf(
		"%d keys added, %d changed, %d left alone since somebody wrote them",
		done.Added,
		done.Changed,
		done.Conflicts,
	)
	if err != nil && done.Added+done.Changed > 0 {
		e := written(r.client, err)
		if a, ok := e.(*apiError); ok {
			c := *a
			c.Detail = done
			return nil, &c
		}
	}
	return done, err
}

func (p *imported) count(res transfer.Result) {
	p.Keys, p.Added, p.Changed, p.Same, p.Kept, p.Conflicts, p.Leases, p.Leased =
		res.Keys, res.Added, res.Changed, res.Same, res.Kept, res.Conflicts, res.Leases, res.Leased
}

// importTarget lists the first keys that an import writes.
func importTarget(p *imported) string {
	var names []string
	for _, w := range p.Writes[:min(10, len(p.Writes))] {
		names = append(names, auditOf(w.Key))
	}
	return fmt.Sprintf("%d keys of a file: %s", p.Added+p.Changed, auditOf([]byte(strings.Join(names, " "))))
}

// unusable turns the error of an invalid file into a refusal of the request.
func unusable(err error) error {
	var broken *transfer.Broken
	if errors.As(err, &broken) {
		return badRequest("the file cannot be used: " + broken.Error())
	}
	return err
}
