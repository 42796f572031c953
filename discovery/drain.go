package discovery

// Draining: an instance that is about to end says so, waits until its callers know, and ends.
// Callers announce themselves: a directory with WithAnnounce keeps a key for each followed service,
// under the lease of a registrar of its own. The key's value is the revision that all subscriptions
// there have seen. A subscription has seen a view when Next is called again after it. Only views in
// which an instance drains are acknowledged.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery/internal/keep"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// watchersBase is the prefix of the announcements: BASE/SERVICE/ID.
const watchersBase = "/fairlead/watchers/"

// WithAnnounce makes draining instances wait for this directory's subscribers; see
// [Registration.Drain]. The id distinguishes the processes: a host name and process id, say. It
// must not be empty.
func WithAnnounce(id string) DirectoryOption {
	return directoryOption(func(d *Directory) {
		if id == "" {
			d.refuse("announcements with an empty id")
		}
		d.announceAs = id
	})
}

// watchersPrefix is the prefix of the announcements of a service's followers.
func watchersPrefix(service string) string { return watchersBase + url.PathEscape(service) + "/" }

// announcement is a feed's key among the watchers. Only the goroutine that has set held uses the
// rest. That is one that announces, which ends when all is announced, since nearly always no
// instance drains; in the end it is that of run.
type announcement struct {
	held    atomic.Bool
	acked   chan struct{} // a subscription has seen a view that is to be announced
	kept    *Kept
	history int   // of the views that were seen
	done    int64 // the revision that is announced
}

// acknowledge has the revision announced that the feed's subscriptions have seen. It does not wait.
func (f *feed) acknowledge() {
	signal(f.watcher.acked)
	if f.cluster.announcer != nil && f.watcher.held.CompareAndSwap(false, true) {
		f.d.group.Go(f.announceSeen)
	}
}

// announce announces a feed. It is the first to hold the announcement.
func (f *feed) announce(ctx context.Context) {
	if f.watcher.kept = f.announced(); f.watcher.kept != nil {
		f.announceSeen(ctx)
	}
}

// announceSeen writes the revision that the feed's subscriptions have seen, and ends when nothing
// is left to be written. Its caller holds the announcement.
func (f *feed) announceSeen(context.Context) {
	a := &f.watcher
	var late delayed
	timer := time.NewTimer(never)
	defer timer.Stop()
	for {
		if len(late) == 0 && len(a.acked) == 0 {
			a.held.Store(false)
			if len(a.acked) == 0 && f.ctx.Err() == nil || !a.held.CompareAndSwap(false, true) {
				return
			}
		}
		select {
		case <-a.acked:
			if h := f.view.Load().history; h != a.history { // before f.seen, which may be newer
				a.history, late, a.done = h, nil, 0
				_ = a.kept.Set(f.ctx, "0")
			}
			late.add(f.seen(), time.Now().Add(f.d.announceAfter))
		case <-timer.C:
			if seen := late.due(time.Now()); seen > a.done {
				if a.kept.Set(f.ctx, strconv.FormatInt(seen, 10)) == nil {
					a.done = seen
				}
			}
		case <-f.ctx.Done():
			f.withdrawHeld()
			return
		}
		timer.Reset(late.next())
	}
}

// withdraw takes the announcement back when the feed's context has ended; a goroutine that
// announces does it itself.
func (f *feed) withdraw() {
	if f.watcher.held.CompareAndSwap(false, true) {
		f.withdrawHeld()
	}
}

func (f *feed) withdrawHeld() {
	if f.watcher.kept == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), keep.WriteTry)
	defer cancel()
	_ = f.watcher.kept.Close(ctx) // else the key goes with its lease
}

// announced makes the announcement; nil if f has ended. It tries again when that fails: an operator
// may allow it later, and an earlier feed of the service may still be taking its own back.
func (f *feed) announced() (k *Kept) {
	key, said := watchersPrefix(f.service)+url.PathEscape(f.d.announceAs), ""
	for failures := 0; ; failures++ {
		var err error
		ended := turn(f.ctx, f.cluster.announces, func() {
			k, err = f.cluster.announcer.Keep(f.ctx, key, "0", WithTakeover())
		})
		if err = cmp.Or(ended, err); err == nil {
			return k
		}
		wait := announceAgain
		if errors.Is(err, ErrTaken) {
			wait = retry.Wait(failures)
		} else if f.ctx.Err() == nil && said != err.Error() {
			said = err.Error()
			f.problem("", fmt.Errorf("not announced, so drains do not wait for this process: %w", err))
		}
		if backoff.Sleep(f.ctx, wait) != nil {
			return nil
		}
	}
}

const (
	// announceAgain is how long a user without permission waits before the next try.
	announceAgain = 5 * time.Second

	never = time.Duration(1<<63 - 1)
	// delayedMost bounds the revisions that wait; beyond it the last ones are announced together.
	delayedMost = 64
)

// delayed are seen revisions, in order, each with the time from which on it is announced.
type delayed []struct {
	revision int64
	at       time.Time
}

func (d *delayed) add(revision int64, at time.Time) {
	if n := len(*d); n > 0 && (*d)[n-1].revision >= revision {
		return
	} else if n == delayedMost {
		*d = (*d)[:n-1]
	}
	*d = append(*d, struct {
		revision int64
		at       time.Time
	}{revision, at})
}

// due returns the newest revision to be announced as of now, 0 if there is none.
func (d *delayed) due(now time.Time) (revision int64) {
	for len(*d) > 0 && !(*d)[0].at.After(now) {
		revision, *d = (*d)[0].revision, (*d)[1:]
	}
	return revision
}

// next returns how long it is until a revision is due.
func (d *delayed) next() time.Duration {
	if len(*d) == 0 {
		return never
	}
	return time.Until((*d)[0].at)
}

// seen returns the revision up to which all subscriptions have seen the views.
func (f *feed) seen() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	least := int64(-1)
	for t := range f.subs {
		t.s.mu.Lock()
		if least < 0 || t.seen < least {
			least = t.seen
		}
		t.s.mu.Unlock()
	}
	return least
}

// removeTry bounds the removal of a record that has drained.
const removeTry = keep.WriteTry

// WithServing makes [Registration.Drain] go on serving for at least d after the record says that
// the instance drains, up to the limit of the drain: for clients that follow the service without
// announcing themselves. The default is 0.
func WithServing(d time.Duration) RegistrarOption {
	return registrarOption(func(r *Registrar) {
		if d < 0 {
			r.refuse("serving for %v more", d)
		}
		r.serving = d
	})
}

// WithAnnounceAfter delays the announcements of [WithAnnounce], without which it is invalid, by d:
// for programs that pass on the views to others, which use an older one for that long. The default
// is 0.
func WithAnnounceAfter(d time.Duration) DirectoryOption {
	return directoryOption(func(dir *Directory) {
		if d < 0 {
			dir.refuse("announcements after %v", d)
		}
		dir.announceAfter = d
	})
}

// Drain marks the instance as draining, waits until all announced watchers have seen that (and for
// as long as [WithServing] says), for limit at most, and closes the registration, which takes up to
// 2 s more. Requests that etcd has not executed by then go on in the background, and the error says
// why; at the latest the record goes with its lease. When ctx ends before limit, the instance stays
// registered, draining. The function of [WithEvents] gets a [Leaving] event at the beginning, and
// at the end a [Left] event that says whether the watchers had seen the drain. Without permission
// to read /fairlead/watchers/SERVICE/ that is unknown: Drain then waits only for as long as
// WithServing says.
func (g *Registration) Drain(ctx context.Context, limit time.Duration) error {
	began := time.Now()
	g.r.event(Event{Kind: Leaving, Key: g.key, Instance: g.in.Load()})
	unseen, err := g.drain(ctx, limit)
	left := Event{Kind: Left, Key: g.key, Instance: g.in.Load(), Err: err, Took: time.Since(began)}
	if err == nil {
		left.Err = unseen
	}
	g.r.event(left)
	return err
}

var errUnseen = errors.New("discovery: the limit ended before all followers of the service had seen the drain")

// drain returns, beside its error, why the watchers may not have seen the drain.
func (g *Registration) drain(ctx context.Context, limit time.Duration) (unseen, err error) {
	wctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = g.Update(wctx, func(in *Instance) { in.State = Draining })
	if err != nil && wctx.Err() == nil {
		return errUnseen, err
	}
	unseen = errUnseen
	marked := time.Now()
	for mod := g.kept.Revision(); wctx.Err() == nil; {
		err := awaitSeen(wctx, g.r.client, g.service, mod)
		if clientv3.Code(err) == codes.PermissionDenied { // waiting for the limit would be in vain
			unseen = fmt.Errorf(
				"discovery: nobody knows who has seen the drain, since %s may not be read: %w",
				watchersPrefix(g.service),
				err,
			)
		}
		if err == nil {
			unseen = nil
		}
		if unseen != errUnseen {
			_ = backoff.Sleep(wctx, g.r.serving-time.Since(marked))
			break
		}
		_ = backoff.Sleep(wctx, retry.Base)
	}
	if err := ctx.Err(); err != nil {
		return unseen, err
	}
	rctx, end := context.WithTimeout(ctx, removeTry)
	defer end()
	return unseen, g.Close(rctx)
}

// Drain shows an instance as draining to all who follow the service, for operators. It sets
// [Override.Maintenance] in the service's [Control]: it works with records of every format, the
// instance cannot change it, and it holds over a restart, until [Undrain]. It fails with
// [ErrNotFound] if there is no such instance.
func Drain(ctx context.Context, client *clientv3.Client, f Format, service, id string) error {
	if _, err := recordsOf(ctx, client, f, service, id); err != nil {
		return err
	}
	return setMaintenance(ctx, client, service, id, true)
}

// Undrain takes a [Drain] back. An instance that drains by itself ([Registration.Drain]) goes on
// with that: it is about to end. Undrain fails with [ErrNotFound] if there is neither such an
// instance nor a Drain of it.
func Undrain(ctx context.Context, client *clientv3.Client, f Format, service, id string) error {
	if _, err := recordsOf(ctx, client, f, service, id); err != nil {
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		c, cerr := ReadControl(ctx, client, service)
		if cerr != nil {
			return cerr
		}
		if !c.Instances[id].Maintenance {
			return err
		}
	}
	return setMaintenance(ctx, client, service, id, false)
}

func setMaintenance(ctx context.Context, client *clientv3.Client, service, id string, on bool) error {
	return ChangeControl(ctx, client, service, func(c *Control) error {
		c.Override(id, func(o *Override) { o.Maintenance = on })
		return nil
	})
}

// Remove deletes another process's record, for operators, to clear away the record of a crashed
// process. A living process puts its record back. Remove deletes an invalid record too, if its key
// is that of the id. It fails with [ErrNotFound] if there is no such instance.
func Remove(ctx context.Context, client *clientv3.Client, f Format, service, id string) error {
	for {
		list, err := recordsOf(ctx, client, f, service, id)
		if err != nil {
			return err
		}
		for _, kv := range list {
			is := clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision)
			t, err := client.Txn(ctx).If(is).Then(clientv3.OpDelete(string(kv.Key))).Commit()
			if err != nil || t.Succeeded {
				return err
			}
		}
	}
}

// ErrNotFound: there is no such instance.
var ErrNotFound = errors.New("discovery: no such instance")

// recordsOf returns the records of an instance, usually one; the error is ErrNotFound if there is
// none.
func recordsOf(
	ctx context.Context,
	client *clientv3.Client,
	f Format,
	service, id string,
) (list []*mvccpb.KeyValue, err error) {
	switch {
	case client == nil:
		return nil, invalid("the client is nil")
	case f == nil:
		return nil, invalid("the format is nil")
	}
	if err := validName("service", service); err != nil {
		return nil, err
	}
	r, err := client.Get(ctx, f.Prefix(service), clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	for _, kv := range r.Kvs {
		in, err := f.Unmarshal(service, string(kv.Key), kv.Value)
		bad := err != nil && !errors.Is(err, ErrNotInstance) &&
			string(kv.Key) == f.Key(&Instance{Service: service, ID: id})
		if bad || err == nil && in.ID == id {
			list = append(list, kv)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: %s/%s", ErrNotFound, service, id)
	}
	return list, nil
}

// awaitSeen waits until each watcher that is announced now has seen a revision or has gone.
func awaitSeen(ctx context.Context, client *clientv3.Client, service string, rev int64) error {
	prefix := watchersPrefix(service)
	r, err := client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	waiting := make(map[string]bool)
	has := func(value []byte) bool {
		seen, err := strconv.ParseInt(string(value), 10, 64)
		return err != nil || seen >= rev // one that names no revision is not waited for
	}
	for _, kv := range r.Kvs {
		if !has(kv.Value) {
			waiting[string(kv.Key)] = true
		}
	}
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := client.Watch(wctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(r.Header.Revision+1))
	for len(waiting) > 0 {
		resp, ok := <-changes
		if !ok || resp.Err() != nil {
			return errWatchEnded
		}
		for _, ev := range resp.Events {
			if ev.Type == clientv3.EventTypeDelete || has(ev.Kv.Value) {
				delete(waiting, string(ev.Kv.Key))
			}
		}
	}
	return nil
}
