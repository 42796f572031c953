package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	expiringTTL = 2 // seconds
	// keptTTL is about as long as a freeze, so that a renewal that waited for the thaw would come
	// too late.
	keptTTL = 3
)

// keeping renews a lease while the faults last.
type keeping struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine that owns result has ended
	result leaseResult
}

type leaseResult struct {
	ttl          int64
	renewals     int
	longestPause time.Duration
	lost         bool
}

func startLease(ctx context.Context, client *clientv3.Client) (*keeping, error) {
	lease, err := client.Grant(ctx, keptTTL)
	if err != nil {
		return nil, fmt.Errorf("grant a lease: %w", err)
	}
	if _, err := client.Put(ctx, "demo/kept", "as long as the demonstration lasts",
		clientv3.WithLease(lease.ID)); err != nil {
		return nil, fmt.Errorf("put: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	renewals, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("keep the lease alive: %w", err)
	}
	k := &keeping{cancel: cancel, done: make(chan struct{}), result: leaseResult{ttl: lease.TTL}}
	go func() {
		defer close(k.done)
		last := time.Now()
		for range renewals {
			k.result.renewals++
			k.result.longestPause = max(k.result.longestPause, time.Since(last))
			last = time.Now()
		}
		k.result.lost = ctx.Err() == nil // the channel closes with ctx, or with the lease
	}()
	return k, nil
}

// stop ends the renewals and returns the outcome for the lease. It may be called again.
func (k *keeping) stop() leaseResult {
	k.cancel()
	<-k.done
	return k.result
}
