package console

import (
	"context"
	"sync"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// leasesMost are looked at one by one, those that expire first.
	leasesMost = 500
	// leasesAtOnce are asked for at a time; a follower forwards each question to the leader.
	leasesAtOnce = 16
	// leaseKeysMost of a lease's keys are sent along.
	leaseKeysMost = 20
)

// leaseState is a lease.
type leaseState struct {
	ID       string   `json:"id"`
	TTL      int64    `json:"ttl"` // seconds left
	Granted  int64    `json:"granted"`
	KeyCount int      `json:"keyCount"`
	Keys     [][]byte `json:"keys"` // the first of them
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
			continue // it has ended meanwhile, or is not for this user to see
		}
		list.Leases = append(list.Leases, leaseState{ID: leaseName(id), TTL: t.TTL, Granted: t.GrantedTTL, KeyCount: len(t.Keys), Keys: t.Keys[:min(leaseKeysMost, len(t.Keys))]})
	}
	return list, nil
}

// leaseTimes asks for some leases. Those for which there was no answer are left out.
func leaseTimes(ctx context.Context, l clientv3.Lease, ids []clientv3.LeaseID, opts ...clientv3.LeaseOption) map[clientv3.LeaseID]*clientv3.LeaseTimeToLiveResponse {
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
		slots <- struct{}{} // whoever has one ends with ctx at the latest
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
