package console

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// leasesMost is how many leases are read one by one, those that expire first.
	leasesMost = 500
	// leasesAtOnce is how many are read at a time; a follower forwards each request to the leader.
	leasesAtOnce = 16
	// leaseKeysMost is how many of a lease's keys are sent along.
	leaseKeysMost = 20
)

// leaseState is a lease.
type leaseState struct {
	ID       string   `json:"id"`
	TTL      int64    `json:"ttl"` // seconds left
	Granted  int64    `json:"granted"`
	KeyCount int      `json:"keyCount"`
	Keys     [][]byte `json:"keys"` // the first of them
	Owners   []holder `json:"owners,omitempty"`
}

// holder is the purpose of a lease, judged by its keys.
type holder struct {
	Kind string `json:"kind"`
	Name []byte `json:"name"`
}

// ownersMost is how many holders are shown for a lease.
const ownersMost = 3

// holders returns the purposes of a lease, judged by some of its keys.
func holders(keys [][]byte, lease int64) (all []holder) {
	for _, key := range keys {
		h := holder{}
		for kind, base := range map[string]string{
			"instance": "/fairlead/services/", "follower of": "/fairlead/watchers/",
		} {
			if rest, ok := bytes.CutPrefix(key, []byte(base)); ok {
				h = holder{kind, rest}
			}
		}
		if name, _, ok := owned(string(key), lease); ok && h.Kind == "" {
			h = holder{"lock or election", []byte(name)}
		}
		same := func(o holder) bool { return o.Kind == h.Kind && bytes.Equal(o.Name, h.Name) }
		if h.Kind != "" && len(all) < ownersMost && !slices.ContainsFunc(all, same) {
			all = append(all, h)
		}
	}
	return all
}

type leaseList struct {
	Total  int          `json:"total"`
	Leases []leaseState `json:"leases"`
}

func getLeases(r *request) (any, error) {
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	all, err := r.client.Leases(ctx)
	if err != nil {
		return nil, err
	}
	var ids []clientv3.LeaseID
	for _, l := range all.Leases[:min(leasesMost, len(all.Leases))] {
		ids = append(ids, l.ID)
	}
	known := leaseTimes(ctx, r.client, ids, clientv3.WithAttachedKeys())
	list := &leaseList{Total: len(all.Leases), Leases: []leaseState{}}
	for _, id := range ids {
		t := known[id]
		if t == nil || t.TTL < 0 {
			continue // it has ended meanwhile, or this user may not read it
		}
		list.Leases = append(
			list.Leases,
			leaseState{
				ID:       leaseName(id),
				TTL:      t.TTL,
				Granted:  t.GrantedTTL,
				KeyCount: len(t.Keys),
				Keys:     t.Keys[:min(leaseKeysMost, len(t.Keys))],
				Owners:   holders(t.Keys[:min(leaseKeysMost, len(t.Keys))], int64(id)),
			},
		)
	}
	return list, nil
}

// leaseTimes reads some leases, and leaves out those without an answer.
func leaseTimes(
	ctx context.Context,
	l clientv3.Lease,
	ids []clientv3.LeaseID,
	opts ...clientv3.LeaseOption,
) map[clientv3.LeaseID]*clientv3.LeaseTimeToLiveResponse {
	known := make(map[clientv3.LeaseID]*clientv3.LeaseTimeToLiveResponse)
	for _, id := range ids {
		if id != clientv3.NoLease && len(known) < leasesMost {
			known[id] = nil
		}
	}
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		slots = make(chan struct{}, leasesAtOnce)
		want  []clientv3.LeaseID
	)
	for id := range known {
		want = append(want, id)
	}
	for _, id := range want {
		slots <- struct{}{} // each holder of a slot ends with ctx at the latest
		wg.Go(func() {
			defer func() { <-slots }()
			t, err := l.TimeToLive(ctx, id, opts...)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			known[id] = t
		})
	}
	wg.Wait()
	return known
}

// leaseChange names a lease to change.
type leaseChange struct {
	ID   string
	TTL  int64 // of a new one, in seconds
	Keys int   // how many keys the page showed
}

func readLease(r *request) (*leaseChange, clientv3.LeaseID, error) {
	in := new(leaseChange)
	if err := decode(r.Request, in); err != nil {
		return nil, 0, err
	}
	id, err := strconv.ParseUint(in.ID, 16, 64)
	if in.ID != "" && (err != nil || id == 0) {
		return nil, 0, badRequest("there is no lease " + printable(in.ID))
	}
	return in, clientv3.LeaseID(id), nil
}

// longestLease is etcd's longest TTL, in seconds.
const longestLease = 9_000_000_000

// postGrant grants a lease.
func postGrant(r *request) (any, error) {
	in, id, err := readLease(r)
	if err != nil {
		return nil, err
	}
	if id != 0 || in.TTL < 1 || in.TTL > longestLease {
		return nil, badRequest(fmt.Sprintf("a lease lasts 1 to %d seconds", longestLease))
	}
	if err := r.begin("grant", fmt.Sprintf("a lease of %d s", in.TTL)); err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	got, err := r.client.Grant(ctx, in.TTL)
	if err != nil {
		return nil, err
	}
	r.change.After = leaseName(got.ID)
	return leaseState{ID: leaseName(got.ID), TTL: got.TTL, Granted: got.TTL, Keys: [][]byte{}}, nil
}

// postKeepAlive renews a lease once.
func postKeepAlive(r *request) (any, error) {
	in, id, err := readLease(r)
	if err != nil {
		return nil, err
	}
	if id == 0 {
		return nil, badRequest("a lease is needed")
	}
	if err := r.begin("keep alive", "lease "+in.ID); err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	got, err := r.client.KeepAliveOnce(ctx, id)
	if err != nil {
		return nil, err
	}
	return leaseState{ID: leaseName(id), TTL: got.TTL, Granted: got.TTL, Keys: [][]byte{}}, nil
}

// postRevoke revokes a lease, which deletes its keys, if it has as many keys as the page showed.
// etcd has no condition for that: a key that is attached at that moment is deleted too.
func postRevoke(r *request) (any, error) {
	in, id, err := readLease(r)
	if err != nil {
		return nil, err
	}
	if id == 0 {
		return nil, badRequest("a lease is needed")
	}
	if err := r.begin("revoke", "lease "+in.ID); err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	now, err := r.client.TimeToLive(ctx, id, clientv3.WithAttachedKeys())
	if err != nil {
		return nil, err
	}
	if now.TTL < 0 {
		return nil, &apiError{Status: http.StatusNotFound, Code: "NotFound", Message: "there is no such lease any more"}
	}
	r.change.Before = fmt.Sprintf("%d keys", len(now.Keys))
	if len(now.Keys) > 0 {
		r.change.Before += ": " + auditOf(bytes.Join(now.Keys[:min(leaseKeysMost, len(now.Keys))], []byte(" ")))
	}
	if len(now.Keys) != in.Keys {
		return nil, conflict(
			fmt.Sprintf("the lease has %d keys now, not %d; nothing was done", len(now.Keys), in.Keys),
			nil,
		)
	}
	_, err = r.client.Revoke(ctx, id)
	return nil, err
}
