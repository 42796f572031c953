package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Options are for Import.
type Options struct {
	// To replaces the exported prefix; nil leaves keys unchanged.
	To *string
	// Leases: keys that had a lease get a new one, with the same TTL and shared as before, which is
	// not renewed yet. False: they get none.
	Leases bool
	// Absent writes only keys that do not exist, and leaves out those that had a lease: it restores
	// deleted keys. Leases has no effect then.
	Absent bool
	// Prune deletes keys under the prefix that are not in the file.
	Prune bool
	// Dry only reports the differences, and writes nothing.
	Dry bool
	// LeftOut is called for every key that Absent leaves out for its lease; it may be nil.
	LeftOut func(key string)
	// OnChange is called for every key that is written or would be; it may be nil.
	OnChange func(Difference)
	// Progress is called from time to time with the number of keys handled, and of all; it may be
	// nil.
	Progress func(keys, all int64)
}

// Result is what Import has done, or would do. Keys of the file that exist with the same value are
// not written.
type Result struct {
	Keys      int64 // keys of the file that were handled
	Added     int64
	Changed   int64
	Deleted   int64
	Same      int64
	Kept      int64 // keys that exist with another value, which Absent leaves
	Leased    int64 // left out by Absent, since they had a lease
	Conflicts int64 // keys that changed meanwhile, and were left
	Leases    int64 // those that were granted
}

const (
	chunkOps   = 100 // a server accepts 128
	chunkBytes = 512 << 10
)

// Import writes the keys of a file. It reads the file twice: first it checks all of it, so that
// nothing of an invalid file is written. It is not atomic; after an interruption it can be started
// again, since it leaves keys that are right already. A key that changes during its comparison is
// left unchanged and counted.
func Import(ctx context.Context, c *clientv3.Client, file io.ReadSeeker, o Options) (res Result, err error) {
	all, err := Check(file)
	if err != nil {
		return res, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return res, err
	}
	r, err := newReader(file)
	if err != nil {
		return res, err
	}
	i := importing{ctx: ctx, c: c, o: o, all: all, res: &res, leases: make(map[string]clientv3.LeaseID)}
	var have map[string]bool // keys of the file, with their new names
	if o.Prune {
		have = make(map[string]bool)
	}
	var chunk []Entry
	within := make(map[string]bool) // keys of the chunk; for a repeated key the later value counts
	bytes := 0
	for {
		e, err := r.next()
		if err != nil && err != io.EOF {
			return res, err
		}
		if err == nil && o.To != nil {
			rest, ok := strings.CutPrefix(e.Key, r.prefix)
			if !ok {
				return res, r.broken(
					fmt.Errorf(
						"the key %q does not begin with the prefix %q, which is to be replaced",
						e.Key,
						r.prefix,
					),
				)
			}
			if e.Key = *o.To + rest; e.Key == "" {
				return res, r.broken(errors.New("the key would be empty"))
			}
		}
		if err == nil && o.Absent && e.Lease != "" {
			i.leaveOut(e.Key)
			continue
		}
		if err == io.EOF || len(chunk) == chunkOps || within[e.Key] ||
			bytes+len(e.Key)+len(e.Value) > chunkBytes && len(chunk) > 0 {
			if werr := i.write(chunk); werr != nil {
				return res, werr
			}
			chunk, bytes = chunk[:0], 0
			clear(within)
		}
		if err == io.EOF {
			break
		}
		if have != nil {
			have[e.Key] = true
		}
		within[e.Key] = true
		chunk = append(chunk, e)
		bytes += len(e.Key) + len(e.Value)
	}
	if o.Prune {
		prefix := r.prefix
		if o.To != nil {
			prefix = *o.To
		}
		err = i.prune(prefix, have)
	}
	return res, err
}

type importing struct {
	ctx    context.Context
	c      *clientv3.Client
	o      Options
	all    int64 // keys in the file
	res    *Result
	leases map[string]clientv3.LeaseID // by the ids in the file
}

func (i *importing) report(d Difference) {
	if i.o.OnChange != nil {
		i.o.OnChange(d)
	}
}

// leaveOut counts a key that had a lease.
func (i *importing) leaveOut(key string) {
	i.res.Keys++
	i.res.Leased++
	if i.o.LeftOut != nil {
		i.o.LeftOut(key)
	}
}

// planned is a key to write.
type planned struct {
	Difference
	mod   int64 // the mod revision that it must still have
	lease clientv3.LeaseID
}

// write compares some keys with the cluster and writes those that differ.
func (i *importing) write(chunk []Entry) error {
	if len(chunk) == 0 {
		return nil
	}
	var gets []clientv3.Op
	for _, e := range chunk {
		gets = append(gets, clientv3.OpGet(e.Key))
	}
	now, err := i.c.Txn(i.ctx).Then(gets...).Commit()
	if err != nil {
		return err
	}
	var plan []planned
	for n, e := range chunk {
		p := planned{Difference: Difference{Key: e.Key, New: e.Value, HasNew: true}}
		if kvs := now.Responses[n].GetResponseRange().Kvs; len(kvs) > 0 {
			p.Old, p.HasOld, p.mod = string(kvs[0].Value), true, kvs[0].ModRevision
			if p.Old == e.Value && (kvs[0].Lease != 0 || !i.leased(e)) {
				i.res.Same++
				continue
			}
			if i.o.Absent {
				i.res.Kept++
				continue
			}
		}
		if p.lease, err = i.lease(e); err != nil {
			return err
		}
		plan = append(plan, p)
	}
	if i.o.Dry {
		for _, p := range plan {
			i.done(p)
		}
	} else if err := i.commit(plan); err != nil {
		return err
	}
	i.res.Keys += int64(len(chunk))
	if i.o.Progress != nil {
		i.o.Progress(i.res.Keys, i.all)
	}
	return nil
}

func (i *importing) done(p planned) {
	if p.HasOld {
		i.res.Changed++
	} else {
		i.res.Added++
	}
	i.report(p.Difference)
}

// commit writes all of a plan, or each key by itself if another client has changed one. The guards
// make it safe to repeat a request that may have been executed.
func (i *importing) commit(plan []planned) error {
	if len(plan) == 0 {
		return nil
	}
	ctx := clientv3.WithRepeat(i.ctx)
	var cmps []clientv3.Cmp
	var puts []clientv3.Op
	for _, p := range plan {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(p.Key), "=", p.mod))
		puts = append(puts, clientv3.OpPut(p.Key, p.New, clientv3.WithLease(p.lease)))
	}
	resp, err := i.c.Txn(ctx).If(cmps...).Then(puts...).Commit()
	switch {
	case errors.Is(err, rpctypes.ErrRequestTooLarge) && len(plan) == 1:
		return i.bare(plan[0])
	case errors.Is(err, rpctypes.ErrRequestTooLarge): // this cluster's limit is lower than usual
		for n := range plan {
			if err := i.commit(plan[n : n+1]); err != nil {
				return err
			}
		}
		return nil
	case err != nil && len(plan) == 1:
		return fmt.Errorf("key %q: %w", plan[0].Key, err)
	case err != nil:
		return err
	case resp.Succeeded:
		for _, p := range plan {
			i.done(p)
		}
		return nil
	}
	return i.singly(plan)
}

// bare writes a key whose value leaves no room for a guard in the request. A change by another
// client between the read and the write is lost.
func (i *importing) bare(p planned) error {
	now, err := i.c.Get(i.ctx, p.Key, clientv3.WithKeysOnly())
	if err == nil && (len(now.Kvs) == 0 && p.mod != 0 || len(now.Kvs) > 0 && now.Kvs[0].ModRevision != p.mod) {
		i.res.Conflicts++
		return nil
	}
	if err == nil {
		_, err = i.c.Put(i.ctx, p.Key, p.New, clientv3.WithLease(p.lease))
	}
	if err != nil {
		return fmt.Errorf("key %q: %w", p.Key, err)
	}
	i.done(p)
	return nil
}

func (i *importing) singly(plan []planned) error {
	ctx := clientv3.WithRepeat(i.ctx)
	for _, p := range plan {
		resp, err := i.c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(p.Key), "=", p.mod)).
			Then(clientv3.OpPut(p.Key, p.New, clientv3.WithLease(p.lease))).Else(clientv3.OpGet(p.Key)).Commit()
		if err != nil {
			return err
		}
		if !resp.Succeeded {
			// A repeated request finds its own write.
			if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) == 0 || string(kvs[0].Value) != p.New {
				i.res.Conflicts++
				continue
			}
		}
		i.done(p)
	}
	return nil
}

// leased reports whether a key is to have a lease.
func (i *importing) leased(e Entry) bool {
	return i.o.Leases && !i.o.Absent && e.Lease != "" && e.TTL > 0
}

// lease returns the new lease in place of the file's.
func (i *importing) lease(e Entry) (clientv3.LeaseID, error) {
	if !i.leased(e) || i.o.Dry {
		return 0, nil
	}
	if id, ok := i.leases[e.Lease]; ok {
		return id, nil
	}
	g, err := i.c.Grant(i.ctx, e.TTL)
	if err != nil {
		return 0, err
	}
	i.res.Leases++
	i.leases[e.Lease] = g.ID
	return g.ID, nil
}

// prune deletes the keys that are not in the file.
func (i *importing) prune(prefix string, have map[string]bool) error {
	for kv, err := range i.c.Range(i.ctx, prefix, clientv3.WithKeysOnly()) {
		if err != nil {
			return err
		}
		key := string(kv.Key)
		if have[key] {
			continue
		}
		if !i.o.Dry {
			resp, err := i.c.Txn(clientv3.WithRepeat(i.ctx)).
				If(clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)).
				Then(clientv3.OpDelete(key)).
				Commit()
			if err != nil {
				return err
			}
			if !resp.Succeeded {
				i.res.Conflicts++
				continue
			}
		}
		i.res.Deleted++
		i.report(Difference{Key: key, HasOld: true})
	}
	return nil
}
