package check

import (
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// wakeup is the time a goroutine may need to notice a closed channel although no timer nearby was
// late. The timers that measure lateness fire every few milliseconds, so a delay between two of
// them is not measured.
const wakeup = 10 * time.Millisecond

// LeaseReport says how the leases fared.
type LeaseReport struct {
	Expired int // keys that the server deleted while their holder had not released the lease
	Lost    int // leases that were reported to their holders as lost
	Excused int // of these, those for which no member answered steadily
	Revoked int // by an operator
	Early   int // leases that the server ended although it had just acknowledged a renewal; see early
	// Margin is the least time from a holder learning of the loss to the recorder seeing the key's
	// deletion. Valid if Expired is not 0.
	Margin time.Duration
}

// Leases checks two things.
//
// Safety: no lease is reported alive after it expired. A lease has expired on the server at the
// latest when the recorder, which reads each member directly, sees the deletion of its key. By
// then the holder must have seen that the channel of renewals was closed, unless it had given the
// lease up before. The tolerance is how late timers of this process were during that time, plus
// wakeup.
//
// Liveness: no lease is lost while it could be renewed. A lease that is reported lost at T counts
// as renewable if there is a member that
//   - was left alone from T less the TTL to T (moving the leader does not count), and that
//   - answered an independent probe during that time (linearizable reads, and renewals of a lease
//     that does not exist, which only the leader can deny), without a gap of more than half the
//     TTL.
//
// In that case the client had half a TTL to renew through that member. The gap also covers an
// election that some other fault required.
//
// A lease that an operator revokes is lost at that moment. Its holder must learn of it from the
// next renewal, which is due within its TTL.
// next renewal, which is due within its TTL.
func Leases(
	leases []history.Lease,
	truth *history.Truth,
	probes []history.Probe,
	touches []history.Touch,
	meddlings []history.Meddling,
	late history.Lateness,
) (LeaseReport, []Violation) {
	var r LeaseReport
	var bad []Violation
	versions := truth.ByKey()
	for i := range leases {
		l := &leases[i]
		if m := slices.IndexFunc(meddlings, func(m history.Meddling) bool { return m.Lease == l.ID }); m >= 0 {
			r.Revoked++
			due, done := meddlings[m].At+l.TTL, max(l.Noticed, l.Released)
			if _, ok := well(due-l.TTL, due+Within, wellGap, probes, touches); ok && meddlings[m].Rev > 0 &&
				done > due+Within {
				bad = append(
					bad,
					violation(
						"lease",
						"lease %x of client %d (%s, TTL %v) was revoked at %s, and its holder did not notice until %s",
						l.ID,
						l.Client,
						l.Key,
						l.TTL,
						clock(meddlings[m].At),
						clock(done),
					),
				)
			}
			continue
		}
		if gone, ok := deleted(l, versions[l.Key]); ok && (l.Released == 0 || l.Released > gone.Seen) {
			if early(l, gone, touches) {
				r.Early++
				continue
			}
			margin := gone.Seen - l.Noticed
			if l.Noticed == 0 {
				bad = append(
					bad,
					violation(
						"lease",
						"lease %x of client %d (%s, TTL %v): its key was deleted at revision %d, seen at %s, and its "+
							"holder never noticed; last renewal at %s",
						l.ID,
						l.Client,
						l.Key,
						l.TTL,
						gone.Rev,
						clock(gone.Seen),
						clock(l.LastAck),
					),
				)
				continue
			}
			if r.Expired == 0 || margin < r.Margin {
				r.Margin = margin
			}
			r.Expired++
			if allowed := wakeup + late.Max(gone.Seen, l.Noticed); -margin > allowed {
				bad = append(
					bad,
					violation(
						"lease",
						"lease %x of client %d (%s, TTL %v): its key was deleted at revision %d, seen at %s, and its "+
							"holder noticed at %s, %v later (allowed: %v); last renewal at %s",
						l.ID,
						l.Client,
						l.Key,
						l.TTL,
						gone.Rev,
						clock(gone.Seen),
						clock(l.Noticed),
						-margin,
						allowed,
						clock(l.LastAck),
					),
				)
			}
		}
		if l.Noticed == 0 || l.Released != 0 && l.Released <= l.Noticed {
			continue
		}
		r.Lost++
		if l.PutRev == 0 && l.Ended && early(l, history.Event{Seen: l.Noticed}, touches) { // its key does not show it
			r.Early++
			continue
		}
		if m, ok := renewable(l, probes, touches, late); ok {
			bad = append(
				bad,
				violation(
					"lease",
					"lease %x of client %d (%s, TTL %v) was reported lost at %s, last renewal at %s, though m%d was "+
						"untouched and answered throughout",
					l.ID,
					l.Client,
					l.Key,
					l.TTL,
					clock(l.Noticed),
					clock(l.LastAck),
					m,
				),
			)
		} else {
			r.Excused++
		}
	}
	return r, bad
}

// stale is how long a member that is back may still act on what it knew before.
const stale = 2 * time.Second

// early reports whether the server broke its promise: it ended a lease less than half a TTL after
// it had acknowledged a renewal, while a fault was on or just over. A leader that was frozen does
// so when it thaws. It revokes what has expired by its own clock, and the revocation is committed
// although its successor has renewed the lease. No client can know of that before it happens.
func early(l *history.Lease, gone history.Event, touches []history.Touch) bool {
	if l.LastAck == 0 || l.LastAck > gone.Seen || gone.Seen-l.LastAck >= l.TTL/2 ||
		l.Noticed != 0 && l.Noticed < gone.Seen {
		return false
	}
	for _, t := range touches {
		if t.From < gone.Seen && t.To > gone.Seen-stale {
			return true
		}
	}
	return false
}

// deleted finds the deletion of a lease's key.
func deleted(l *history.Lease, versions []history.Event) (history.Event, bool) {
	if l.PutRev == 0 {
		return history.Event{}, false
	}
	for _, e := range versions {
		if e.Rev > l.PutRev {
			return e, e.Delete
		}
	}
	return history.Event{}, false
}

// renewable finds a member through which the lease could have been renewed.
func renewable(
	l *history.Lease,
	probes []history.Probe,
	touches []history.Touch,
	late history.Lateness,
) (member int, ok bool) {
	from := max(l.Noticed-l.TTL, l.Granted)
	if late.Max(from, l.Noticed) > l.TTL/4 { // the renewals were late in this process
		return 0, false
	}
	return well(from, l.Noticed, l.TTL/2, probes, touches)
}
