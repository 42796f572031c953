package keep

// This file watches the own keys. As long as the user may read all between the lowest and the
// highest of them, one watch covers that: for a process with one key, the key; for one with
// thousands of a service, their prefix. A span that the server refuses is split where its keys have
// least in common, until each part is allowed: a user may read two prefixes, and nothing between
// them. The owner of a single key that is refused is notified, and the key is tried again every few
// seconds.
//
// Each span has a goroutine. Spans do not overlap. A span grows with its keys, and is then watched
// anew, from where it was.
//
// A watch goes on from the newest record that was shown or found, so that it ends where etcd has
// another history than ours: a backup without our records, say, that has reached higher revisions
// before we saw it. Only the first watch under a lease has no such record: it shows the records
// that are put under the lease. A record that a watch does not show within a while is looked at
// again (machine.go).

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
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

// change wakes the goroutine of a span that has changed.
func (s *span) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// cover puts a key into a span; the caller holds mu. It joins the span whose range has it already,
// or the neighbour with more in common.
func (k *Keeper) cover(e *entry) {
	if len(k.spans) == 0 {
		k.spans = []*span{{low: e.key, high: e.key, changed: make(chan struct{})}}
		if k.watchIt != nil {
			k.watchIt(k.spans[0], 0)
		}
	}
	at, _ := slices.BinarySearchFunc(
		k.spans,
		e.key,
		func(s *span, key string) int { return strings.Compare(s.high, key) },
	)
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

// uncover removes a key from its span; the caller holds mu. The range stays: it is allowed, or it
// will be refused and then made narrower.
func (k *Keeper) uncover(e *entry) {
	s := e.span
	e.span = nil
	if s.keys--; s.keys == 0 {
		k.spans = slices.DeleteFunc(k.spans, func(o *span) bool { return o == s })
		s.change()
	}
}

// narrow makes a refused span smaller, and watches the keys left out from rev on; false if that is
// not possible.
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

// cut returns where to split two or more sorted keys: before the key that has least in common with
// its predecessor, and if there are several such keys, before the one nearest to the middle.
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

// common returns how many bytes at the beginning of two keys are the same.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// place is where the watch of a span goes on.
type place struct {
	rev int64 // the first revision to be shown; 0: the present records are looked at first
	// put is the newest record that was there at rev-1; nil if none is known. It reveals a restored
	// etcd that has reached rev by other writes.
	put           *mvccpb.KeyValue
	began         clientv3.Listing // before put was read or shown
	cluster, term uint64           // of then
}

// listing returns the listing that the watch goes on from, nil if none is known.
func (p *place) listing() *clientv3.Listing {
	if p.put == nil {
		return nil
	}
	l := p.began
	h := &pb.ResponseHeader{ClusterId: p.cluster, RaftTerm: p.term, Revision: p.rev - 1}
	l.Add(&clientv3.GetResponse{Header: h, Kvs: []*mvccpb.KeyValue{p.put}, Count: 1})
	return &l
}

// shown moves the place to where a response has brought a watch that began after a listing was
// begun.
func (p *place) shown(began *clientv3.Listing, resp *clientv3.WatchResponse) {
	reached := follow.Reached(resp)
	if reached == 0 {
		return
	}
	p.rev, p.cluster, p.term = reached+1, resp.Header.ClusterId, resp.Header.RaftTerm
	for _, ev := range resp.Events {
		switch {
		case ev.Type == clientv3.EventTypePut:
			p.put, p.began = ev.Kv, *began
		case p.put != nil && bytes.Equal(p.put.Key, ev.Kv.Key):
			p.put = nil
		}
	}
}

// watch touches the keys of a span that others changed at rev or later, 0 for now, until ctx ends
// or the span is over.
func (k *Keeper) watch(ctx context.Context, s *span, rev int64) {
	p := place{rev: rev}
	for failures := 0; ctx.Err() == nil && k.live(s); {
		was := p.rev
		err := k.watchOnce(ctx, s, &p)
		if p.rev != was {
			failures = 0
		}
		if p.rev != rev && p.put == nil { // nothing would reveal another history
			p.rev = 0
		}
		switch {
		case err == nil: // it has grown, say
		case clientv3.Code(err) == codes.PermissionDenied && k.narrow(s, start(p, rev)):
			p = place{rev: start(p, rev)}
		case refused(err):
			p = place{}
			k.suspect(s, 0) // which notifies the owner
			k.pause(ctx, s)
		default: // compacted, say: the events meanwhile are unknown
			p = place{}
			_ = backoff.Sleep(ctx, Retry.Wait(failures))
			failures++
		}
	}
}

// start returns from which revision to watch the parts of a refused span, which was watched up to a
// place. If nothing came since its watch began at rev, that is rev; otherwise 0.
func start(p place, rev int64) int64 {
	if p.rev == rev {
		return rev
	}
	return 0
}

// live reports whether a span still has keys.
func (k *Keeper) live(s *span) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return s.keys > 0
}

// pause waits until a refused span is to be tried again, or has changed.
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

// watchOnce watches a span as it is now, from a place on, which it moves. It returns why the watch
// ended, if it ended by itself.
func (k *Keeper) watchOnce(ctx context.Context, s *span, p *place) error {
	k.mu.Lock()
	low, high, changed := s.low, s.high, s.changed
	k.mu.Unlock()
	end := high + "\x00"
	if p.rev == 0 {
		if err := k.list(ctx, low, end, p); err != nil {
			return err
		}
		k.suspect(s, p.rev-1) // earlier events are unknown
	}
	from := clientv3.WithRev(p.rev)
	if l := p.listing(); l != nil {
		from = clientv3.WithListing(l)
	}
	began := clientv3.NewListing(0)
	w := follow.Open(ctx, k.client, low, clientv3.WithRange(end), from)
	defer w.Close()
	var changes clientv3.WatchChan
	for {
		select {
		case changes = <-w.Opened:
		case resp, open := <-changes:
			if !open {
				return errWatchEnded
			}
			if err := resp.Err(); err != nil {
				return err
			}
			for _, ev := range resp.Events {
				k.changed(ev)
			}
			p.shown(began, &resp)
		case <-changed:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// list finds the newest record of a range, and the place after it.
func (k *Keeper) list(ctx context.Context, low, end string, p *place) error {
	ctx, cancel := context.WithTimeout(ctx, listTry)
	defer cancel()
	began := clientv3.NewListing(0)
	r, err := k.client.Get(
		ctx,
		low,
		clientv3.WithRange(end),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend),
		clientv3.WithLimit(1),
	)
	if err != nil {
		return err
	}
	*p = place{rev: r.Header.Revision + 1, began: *began, cluster: r.Header.ClusterId, term: r.Header.RaftTerm}
	if len(r.Kvs) > 0 {
		p.put = r.Kvs[0]
	}
	return nil
}

// changed handles an event of a key in a span; the key may be unknown here.
func (k *Keeper) changed(ev *clientv3.Event) {
	k.mu.Lock()
	e := k.entries[string(ev.Kv.Key)]
	if e == nil {
		stray := k.strays(ev)
		k.mu.Unlock()
		if stray {
			k.deleteRecord(string(ev.Kv.Key), ev.Kv.ModRevision)
		}
		return
	}
	f := e.changed(ev.Type == clientv3.EventTypeDelete, ev.Kv.Lease, ev.Kv.ModRevision, int64(k.lease))
	k.enqueue(e, f.queue)
	notify := e.spec.Notify
	k.mu.Unlock()
	k.notify(notify, f)
}

// strays reports whether an event shows that an unanswered request has made a key that is no longer
// kept. Other keys under the lease are a user's own. The caller holds mu.
func (k *Keeper) strays(ev *clientv3.Event) bool {
	return ev.IsCreate() && k.lease != 0 && ev.Kv.Lease == int64(k.lease) &&
		slices.Contains(k.unsure[string(ev.Kv.Key)], string(ev.Kv.Value))
}

// deleteRecord deletes a record of ours whose key is no longer kept: an unanswered request put it
// after it was given up, or a restored etcd has it again.
func (k *Keeper) deleteRecord(key string, mod int64) {
	k.group.Go(func(ctx context.Context) {
		for n := 0; ctx.Err() == nil; n++ {
			tctx, cancel := context.WithTimeout(ctx, WriteTry)
			is := clientv3.Compare(clientv3.ModRevision(key), "=", mod)
			_, err := k.client.Txn(tctx).If(is).Then(clientv3.OpDelete(key)).Commit()
			cancel()
			if err == nil || refused(err) || backoff.Sleep(ctx, Retry.Wait(n)) != nil {
				return
			}
		}
	})
}

// suspect has every key of a span looked at again. Its watch shows the changes after rev.
func (k *Keeper) suspect(s *span, rev int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.entries {
		if e.span == s {
			k.enqueue(e, e.suspect(rev))
		}
	}
}
