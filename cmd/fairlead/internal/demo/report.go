package demo

import (
	"errors"
	"fmt"
)

// report is what the parts saw while members froze.
type report struct {
	calls    callStats
	repeated int64 // puts sent to another member too
	watch    watchResult
	lease    leaseResult
}

// write prints the table and returns an error if a result is not as it should be.
func (r *report) write(say *speaker) error {
	say.title("What it saw")
	row := func(name, value string) { say.line("%-16s %s", name, value) }
	row("calls", fmt.Sprintf("%d (%d puts, %d gets)", r.calls.done, r.calls.puts, r.calls.gets))
	row("failures", fmt.Sprint(r.calls.failed))
	row("slowest call", short(r.calls.slowest))
	row("puts repeated", fmt.Sprint(r.repeated))
	row("watch events", fmt.Sprintf("%d of %d", r.watch.seen, r.watch.expected))
	row("longest gap", short(r.watch.longestGap))
	row("lease renewals", fmt.Sprint(r.lease.renewals))
	row("longest pause", short(r.lease.longestPause))
	var errs []error
	if n := r.calls.failed; n > 0 {
		errs = append(
			errs,
			fmt.Errorf("%d of %d calls failed, the first with: %w", n, r.calls.done, r.calls.firstFailure),
		)
	}
	if r.watch.seen != r.watch.expected {
		errs = append(errs, fmt.Errorf("the watch saw %d of %d changes", r.watch.seen, r.watch.expected))
	}
	if r.lease.lost || r.lease.renewals == 0 {
		errs = append(errs, errors.New("the lease was lost"))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	say.line("")
	say.line("No call failed, no event was lost, and the lease was kept.")
	return nil
}
