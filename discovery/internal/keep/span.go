package keep

// Watching the own keys. As long as the user may read all between the lowest and the highest of
// them, one watch covers that: for a process with one key, the key; for one with thousands of a
// service, their prefix. A span that the server refuses is split where its keys have least in
// common, until each part is allowed: a user may read two prefixes, and not what lies between.
// A single key that is refused is told to its owner, and tried again every few seconds.
//
// Each span has a goroutine. Spans do not overlap. One grows with its keys, and is watched anew
// then, from where it was.

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// span is a range of keys that are watched together. Keeper.mu guards it.
type span struct {
	low, high string        // the first and the last key
	keys      int           // how many of ours are in it; 0: it is over
	changed   chan struct{} // closed and replaced when one of these changes
}

// change says that a span is another one now.
func (s *span) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// cover has a key watched; the caller holds mu. It joins the span that has it already, or the
// neighbour with more in common.
func (k *Keeper) cover(e *entry) {
	if len(k.spans) == 0 {
		k.spans = []*span{{low: e.key, high: e.key, changed: make(chan struct{})}}
		if k.watchIt != nil {
			k.watchIt(k.spans[0], 0)
		}
	}
	at, _ := slices.BinarySearchFunc(k.spans, e.key, func(s *span, key string) int { return strings.Compare(s.high, key) })
	switch {
	case at == len(k.spans):
		at--
	case at > 0 && e.key < k.spans[at].low && common(k.spans[at-1].high, e.key) > common(e.key, k.spans[at].low):
		at--
	}
	s := k.spans[at]
	e.span = s
	s.keys++
	if e.key < s.low || e.key > s.high {
		s.low, s.high = min(s.low, e.key), max(s.high, e.key)
		s.change()
	}
}

// uncover leaves a key out; the caller holds mu. The range stays: it is allowed, or is about to be
// refused and made narrower then.
func (k *Keeper) uncover(e *entry) {
	s := e.span
	e.span = nil
	if s.keys--; s.keys == 0 {
		k.spans = slices.DeleteFunc(k.spans, func(o *span) bool { return o == s })
		s.change()
	}
}

// narrow makes a span that was refused smaller, and has what it leaves out watched from rev on;
// false if that is not possible.
func (k *Keeper) narrow(s *span, rev int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	var keys []string
	for key, e := range k.entries {
		if e.span == s {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return true
	}
	slices.Sort(keys)
	if low, high := keys[0], keys[len(keys)-1]; low != s.low || high != s.high {
		s.low, s.high = low, high
		return true
	}
	if len(keys) == 1 || k.watchIt == nil {
		return false
	}
	at := cut(keys)
	rest := &span{low: keys[at], high: keys[len(keys)-1], changed: make(chan struct{})}
	for _, key := range keys[at:] {
		k.entries[key].span = rest
	}
	s.high, s.keys, rest.keys = keys[at-1], at, len(keys)-at
	k.spans = slices.Insert(k.spans, slices.Index(k.spans, s)+1, rest)
	k.watchIt(rest, rev)
	return true
}

// cut is where sorted keys, two at least, have least in common with the one before; of several
// such places the one nearest to the middle.
func cut(keys []string) int {
	best, least, off := 0, 0, 0
	for i := 1; i < len(keys); i++ {
		c, d := common(keys[i-1], keys[i]), max(i-len(keys)/2, len(keys)/2-i)
		if best == 0 || c < least || c == least && d < off {
			best, least, off = i, c, d
		}
	}
	return best
}

// common is how many bytes two keys begin with alike.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// watch touches what others changed in a span at rev or later, 0 for now, until ctx ends or the
// span is over.
func (k *Keeper) watch(ctx context.Context, s *span, rev int64) {
	for failures := 0; ctx.Err() == nil && k.live(s); {
		next, err := k.watchOnce(ctx, s, rev)
		if next != rev {
			failures, rev = 0, next
		}
		switch {
		case err == nil: // it has grown, say
		case clientv3.Code(err) == codes.PermissionDenied && k.narrow(s, rev):
		case refused(err):
			rev = 0
			k.suspect(s) // which tells the owner
			k.pause(ctx, s)
		default: // compacted, say: what happened meanwhile is not known
			rev = 0
			_ = backoff.Sleep(ctx, Retry.Wait(failures))
			failures++
		}
	}
}

// live reports whether a span still has keys.
func (k *Keeper) live(s *span) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return s.keys > 0
}

// pause waits until it is time to try a refused span again, or it is another one.
func (k *Keeper) pause(ctx context.Context, s *span) {
	k.mu.Lock()
	changed := s.changed
	k.mu.Unlock()
	t := time.NewTimer(refusedEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
}

// watchOnce watches a span as it is now from rev on. It returns where to go on, and why the watch
// ended if it did so by itself.
func (k *Keeper) watchOnce(ctx context.Context, s *span, rev int64) (next int64, err error) {
	k.mu.Lock()
	low, high, changed := s.low, s.high, s.changed
	k.mu.Unlock()
	opts := []clientv3.OpOption{clientv3.WithRange(high + "\x00"), clientv3.WithCreatedNotify()}
	if rev > 0 {
		opts = append(opts, clientv3.WithRev(rev))
	}
	w := follow.Open(ctx, k.client, low, opts...)
	defer w.Close()
	var changes clientv3.WatchChan
	for {
		select {
		case changes = <-w.Opened:
		case resp, open := <-changes:
			if !open {
				return rev, errWatchEnded
			}
			if err := resp.Err(); err != nil {
				return rev, err
			}
			for _, ev := range resp.Events {
				k.changed(ev)
			}
			if resp.Created && rev == 0 {
				k.suspect(s) // what happened before is not known
				rev = resp.Header.Revision + 1
			}
			if reached := follow.Reached(&resp); reached > 0 {
				rev = reached + 1
			}
		case <-changed:
			return rev, nil
		case <-ctx.Done():
			return rev, nil
		}
	}
}

// changed takes an event of a key in a span, which may be nobody's here.
func (k *Keeper) changed(ev *clientv3.Event) {
	k.mu.Lock()
	e := k.entries[string(ev.Kv.Key)]
	if e == nil {
		ghost := ev.Type == clientv3.EventTypePut && k.lease != 0 && ev.Kv.Lease == int64(k.lease)
		k.mu.Unlock()
		if ghost {
			k.exorcise(ev)
		}
		return
	}
	f := e.changed(ev.Type == clientv3.EventTypeDelete, ev.Kv.Lease, ev.Kv.ModRevision, int64(k.lease))
	k.enqueue(e, f.queue)
	tell := e.spec.Tell
	k.mu.Unlock()
	k.tell(tell, f)
}

// exorcise deletes a record of ours that a request without an answer put after its key was given
// up.
func (k *Keeper) exorcise(ev *clientv3.Event) {
	key := string(ev.Kv.Key)
	k.group.Go(func(ctx context.Context) {
		for n := 0; ctx.Err() == nil; n++ {
			tctx, cancel := context.WithTimeout(ctx, WriteTry)
			is := clientv3.Compare(clientv3.ModRevision(key), "=", ev.Kv.ModRevision)
			_, err := k.client.Txn(tctx).If(is).Then(clientv3.OpDelete(key)).Commit()
			cancel()
			if err == nil || refused(err) || backoff.Sleep(ctx, Retry.Wait(n)) != nil {
				return
			}
		}
	})
}

// suspect has every key of a span looked at again.
func (k *Keeper) suspect(s *span) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.entries {
		if e.span == s {
			k.enqueue(e, e.suspect())
		}
	}
}
