package discovery

// This file makes a feed follow the operators' record: it reads the record with the instances, as
// of the same revision, then watches it. An invalid record changes nothing: the last valid one
// stays in force, and Status and a Problem report it.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/follow"
)

const (
	// controlTry bounds reading a record while the instances are followed.
	controlTry = time.Second
	// controlAgain is how long a user without permission waits before the next try: permissions
	// change.
	controlAgain = 10 * time.Second
)

// readControl reads the record as of a revision, 0 for now, and puts it into force. For a user
// without permission the previous record stays in force, usually none.
func (f *feed) readControl(limit time.Duration, rev int64) error {
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	defer cancel()
	c, kv, err := readControl(ctx, f.cluster.client, controlKey(f.service), rev)
	switch {
	case clientv3.Code(err) == codes.PermissionDenied:
		f.setControlErr(err)
		if f.controlRev > 0 { // reported once
			f.problem(controlKey(f.service), err)
		}
		f.controlRev, f.controlNext = 0, time.Now().Add(controlAgain)
		return nil
	case errors.Is(err, ErrInvalid):
		f.badControl(err)
	case err != nil:
		return err
	default:
		f.goodControl(c)
	}
	f.controlRev, f.controlRead = kv.As, kv.Listed
	return nil
}

func (f *feed) goodControl(c *Control) {
	f.control = c
	f.setControlErr(nil)
}

func (f *feed) setControlErr(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.controlErr = err
}

// badControl notes why the record is not in force.
func (f *feed) badControl(err error) {
	f.setControlErr(err)
	f.problem(controlKey(f.service), err)
}

// followControl watches the record from the revision at which it was read, if it may be read.
func (f *feed) followControl() (*follow.Opening, <-chan clientv3.WatchChan) {
	if f.controlRev == 0 {
		return nil, nil
	}
	w := follow.Open(f.ctx, f.cluster.client, controlKey(f.service), clientv3.WithListing(f.controlRead))
	return w, w.Opened
}

// controlDue reports whether to read the record now, because its watch has ended or never began.
func (f *feed) controlDue() bool {
	return f.away.IsZero() && (f.controlRev > 0 || time.Now().After(f.controlNext))
}

// lookControl reads the record again when its watch has ended: compacted, say, since the record
// hardly ever changes. That is no reason to list the instances again.
func (f *feed) lookControl() error {
	was := f.control
	err := f.readControl(controlTry, 0)
	if err == nil {
		f.override(was)
	}
	return err
}

// takeControl applies changes of the record, which is one key. It reports whether the watch goes
// on.
func (f *feed) takeControl(r *clientv3.WatchResponse, ok bool) bool {
	if !ok || r.Err() != nil {
		return false
	}
	f.applyControl(r)
	return true
}

func (f *feed) applyControl(r *clientv3.WatchResponse) {
	f.controlRev = r.Header.Revision
	if len(r.Events) == 0 {
		return
	}
	var value []byte
	if last := r.Events[len(r.Events)-1]; last.Type != clientv3.EventTypeDelete {
		value = append([]byte{}, last.Kv.Value...)
	}
	c, err := parseControl(value)
	if err != nil {
		f.badControl(fmt.Errorf("the record %s: %w", controlKey(f.service), err))
		return
	}
	was := f.control
	f.goodControl(c)
	f.override(was)
}

// override shows the instances by the record now in force instead of the previous one. The view
// keeps its revision: the record may be ahead of the instances.
func (f *feed) override(was *Control) {
	ids := make(map[string]bool) // those for which something has changed
	for _, list := range []map[string]Override{was.Instances, f.control.Instances} {
		for id := range list {
			if was.Instances[id] != f.control.Instances[id] {
				ids[id] = true
			}
		}
	}
	c := f.begin()
	if len(ids) > 0 {
		keys := make(map[string]*Instance)
		f.tree.Scan(func(key string, in *Instance) bool {
			if ids[in.ID] {
				keys[key] = in
			}
			return true
		})
		for key, in := range keys {
			if plain := f.plain[key]; plain != nil {
				in = plain
			}
			c.replace(key, in)
		}
	}
	if len(c.list) == 0 && maps.Equal(was.Split, f.control.Split) && was.Limits == f.control.Limits {
		return
	}
	f.mu.Lock()
	stale := f.stale
	f.mu.Unlock()
	c.publish(f.view.Load().revision, stale)
}

// shown returns an instance as it is shown.
func (f *feed) shown(key string, in *Instance) *Instance {
	o, ok := f.control.Instances[in.ID]
	if !ok {
		delete(f.plain, key)
		return in
	}
	f.plain[key] = in
	return o.apply(in)
}
