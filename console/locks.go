package console

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// locksMost is how many keys are read.
	locksMost = 2000
	// lockValue is how many bytes of a candidate's value are sent along.
	lockValue = 256
)

// ownName matches the last part of a key of a lock or an election: the id of its lease, and a
// suffix if one session has several owners.
var ownName = regexp.MustCompile(`^([0-9a-f]{1,16})(-[0-9a-f]{8})?$`)

// recipeName matches the last part of a key of another recipe (read-write lock, semaphore,
// barrier): the time in nanoseconds, and a suffix since two keys may have the same time.
var recipeName = regexp.MustCompile(`^[0-9]{19}(-[0-9a-f]{8})?$`)

// queue is a lock or an election: its owner and its waiters.
type queue struct {
	Name []byte   `json:"name"` // the prefix of its keys
	All  []waiter `json:"all"`  // the owner first
	// Recipe: the owner depends on the recipe; the keys are in the order of their creation.
	Recipe bool `json:"recipe,omitempty"`
	// Since is when the owner was first seen to own, in milliseconds since 1970. Earlier: it may
	// have owned before the first look. Handovers counts those since the first look.
	Since     int64 `json:"since,omitempty"`
	Earlier   bool  `json:"earlier,omitempty"`
	Handovers int   `json:"handovers,omitempty"`
}

// turnsMost is how many queues are remembered.
const turnsMost = 2000

// turns remembers the owners of queues at each look: etcd records no times.
type turns struct {
	mu   sync.Mutex // guards what follows
	seen map[string]turn
}

type turn struct {
	create    int64 // of the owner's key; 0 if there is no owner
	since     time.Time
	earlier   bool
	handovers int
}

// note records the owners of queues, and adds since when they have owned them. Deleted queues are
// forgotten when there is no room.
func (ts *turns) note(now time.Time, list []queue) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.seen)+len(list) > turnsMost || ts.seen == nil {
		kept := make(map[string]turn)
		for _, q := range list {
			if t, ok := ts.seen[string(q.Name)]; ok {
				kept[string(q.Name)] = t
			}
		}
		ts.seen = kept
	}
	for i := range list {
		q := &list[i]
		if q.Recipe || len(q.All) == 0 {
			continue
		}
		t, known := ts.seen[string(q.Name)]
		switch create := q.All[0].Create; {
		case !known:
			t = turn{create: create, since: now, earlier: true}
		case create > t.create:
			t = turn{create: create, since: now, handovers: t.handovers + 1}
		}
		ts.seen[string(q.Name)] = t
		if q.All[0].Create == t.create { // otherwise the read is older than the known state
			q.Since, q.Earlier, q.Handovers = t.since.UnixMilli(), t.earlier, t.handovers
		}
	}
}

// postRelease deletes a key of a queue, if it is still the one that was shown and was not created
// again. An owner notices that if it watches the key, and may go on working.
func postRelease(r *request) (any, error) {
	var in struct {
		Key    []byte
		Create int64
	}
	if err := decode(r.Request, &in); err != nil {
		return nil, err
	}
	if len(in.Key) == 0 || in.Create <= 0 {
		return nil, badRequest("a key and its create revision are needed")
	}
	if err := r.begin("release", auditOf(in.Key)); err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	key := string(in.Key)
	t, err := r.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", in.Create)).
		Then(clientv3.OpDelete(key, clientv3.WithPrevKV())).
		Commit()
	if err != nil {
		return nil, err
	}
	if !t.Succeeded {
		return nil, conflict("this key does not hold it any more; nothing was done", nil)
	}
	for _, kv := range t.Responses[0].GetResponseDeleteRange().PrevKvs {
		r.change.Before = auditOf(kv.Value)
	}
	return nil, nil
}

// waiter is a key of a queue.
type waiter struct {
	Key    []byte `json:"key"`
	Create int64  `json:"create"` // the revision since which it waits
	Value  []byte `json:"value"`
	Size   int    `json:"size"`
	Lease  string `json:"lease"`
	TTL    int64  `json:"ttl"`

	lease clientv3.LeaseID
}

type queueList struct {
	Revision int64   `json:"revision"`
	Queues   []queue `json:"queues"`
	Partial  bool    `json:"partial"` // there are more keys than were read
}

// getLocks finds locks and elections: under a prefix, or without a prefix among all keys with a
// lease.
func getLocks(r *request) (any, error) {
	prefix, err := r.bytes("prefix")
	if err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	f := finder{queues: make(map[string]*queue)}
	if len(prefix) > 0 {
		err = f.under(ctx, r.client, string(prefix))
	} else {
		err = f.everywhere(ctx, r.client)
	}
	if err != nil {
		return nil, err
	}
	list := f.list(ctx, r.client)
	r.session.owner.c.turns.note(time.Now(), list.Queues)
	return list, nil
}

type finder struct {
	queues   map[string]*queue
	revision int64
	partial  bool
}

// owned reports whether a key's last part is the name of its lease or of a recipe, and returns the
// part before.
func owned(key string, lease int64) (name string, recipe, ok bool) {
	i := strings.LastIndexByte(key, '/') + 1
	if lease == 0 {
		return "", false, false
	}
	if recipeName.MatchString(key[i:]) {
		return key[:i], true, true
	}
	m := ownName.FindStringSubmatch(key[i:])
	if m == nil {
		return "", false, false
	}
	id, err := strconv.ParseUint(m[1], 16, 64)
	return key[:i], false, err == nil && id == uint64(lease)
}

func (f *finder) add(got *clientv3.GetResponse) {
	f.revision = max(f.revision, got.Header.Revision)
	for _, kv := range got.Kvs {
		name, recipe, ok := owned(string(kv.Key), kv.Lease)
		if !ok {
			continue
		}
		q := f.queues[name]
		if q == nil {
			q = &queue{Name: []byte(name), Recipe: recipe}
			f.queues[name] = q
		}
		q.All = append(
			q.All,
			waiter{
				Key:    kv.Key,
				Create: kv.CreateRevision,
				Value:  kv.Value[:min(lockValue, len(kv.Value))],
				Size:   len(kv.Value),
				Lease:  leaseName(kv.Lease),
				lease:  clientv3.LeaseID(kv.Lease),
			},
		)
	}
}

func (f *finder) under(ctx context.Context, kv clientv3.KV, prefix string) error {
	got, err := kv.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithLimit(locksMost))
	if err != nil {
		return err
	}
	f.partial = got.More
	f.add(got)
	return nil
}

// everywhere reads the keys of leases: those are few among all keys.
func (f *finder) everywhere(ctx context.Context, client *clientv3.Client) error {
	all, err := client.Leases(ctx)
	if err != nil {
		return err
	}
	f.revision, f.partial = all.Revision, len(all.Leases) > leasesMost
	var ids []clientv3.LeaseID
	for _, l := range all.Leases[:min(leasesMost, len(all.Leases))] {
		ids = append(ids, l.ID)
	}
	var gets []clientv3.Op
	for id, t := range leaseTimes(ctx, client, ids, clientv3.WithAttachedKeys()) {
		if t == nil {
			continue
		}
		for _, key := range t.Keys {
			if _, _, ok := owned(string(key), int64(id)); !ok {
				continue
			}
			if len(gets) == locksMost {
				f.partial = true
				break
			}
			gets = append(gets, clientv3.OpGet(string(key)))
		}
	}
	for some := range slices.Chunk(gets, 100) { // etcd permits 128 operations in a transaction
		t, err := client.Txn(ctx).Then(some...).Commit()
		if err != nil {
			return err
		}
		for _, part := range t.Responses {
			got := (*clientv3.GetResponse)(part.GetResponseRange())
			got.Header = t.Header
			f.add(got)
		}
	}
	return nil
}

// list returns the queues by name, each in the order of its turns.
func (f *finder) list(ctx context.Context, l clientv3.Lease) *queueList {
	out := &queueList{Revision: f.revision, Partial: f.partial, Queues: []queue{}}
	var ids []clientv3.LeaseID
	for _, q := range f.queues {
		for _, w := range q.All {
			ids = append(ids, w.lease)
		}
	}
	known := leaseTimes(ctx, l, ids)
	for _, q := range f.queues {
		slices.SortFunc(q.All, func(a, b waiter) int { return int(a.Create - b.Create) })
		for i := range q.All {
			if t := known[q.All[i].lease]; t != nil {
				q.All[i].TTL = t.TTL
			}
		}
		out.Queues = append(out.Queues, *q)
	}
	slices.SortFunc(out.Queues, func(a, b queue) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}
