package etcdv3

import (
	"context"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

// Service is what is published: a unique key, such as "/services/foosvc/1.2.3.4:8080", and the
// text that subscribers get, such as "http://1.2.3.4:8080".
type Service struct {
	Key   string
	Value string
	TTL   *TTLOption // 3 s and 10 s if nil
}

// TTLOption says how long a key stays after its process died, and how often it is renewed.
type TTLOption struct {
	heartbeat time.Duration
	ttl       time.Duration
}

// minHeartbeat keeps a service from renewing more often than anyone needs.
const minHeartbeat = 500 * time.Millisecond

// NewTTLOption returns a TTLOption. It raises a heartbeat below 500 ms to that, and replaces a ttl
// that is not above the heartbeat by three heartbeats. etcd counts in seconds and has a least time
// to live, so the ttl is rounded up.
func NewTTLOption(heartbeat, ttl time.Duration) *TTLOption {
	if heartbeat < minHeartbeat {
		heartbeat = minHeartbeat
	}
	if ttl <= heartbeat {
		ttl = 3 * heartbeat
	}
	return &TTLOption{heartbeat: heartbeat, ttl: ttl}
}

// seconds returns the time to live, rounded up.
func (o *TTLOption) seconds() int64 { return int64((o.ttl + time.Second - 1) / time.Second) }

// entry is one registered service.
type entry struct {
	kept *discovery.Kept
	stop context.CancelFunc // ends the heartbeat
}

func (c *client) Register(s Service) error {
	if s.Key == "" {
		return ErrNoKey
	}
	if s.Value == "" {
		return ErrNoValue
	}
	ttl := s.TTL
	if ttl == nil {
		ttl = NewTTLOption(defaultHeartbeat, defaultTTL)
	}
	ctx, cancel := context.WithTimeout(c.ctx, requestTimeout)
	defer cancel()
	if err := c.Deregister(Service{Key: s.Key}); err != nil { // registered before, perhaps with another TTL
		return err
	}
	r := c.registrar(ttl.seconds())
	// A key names one instance, so an existing key is from an earlier one.
	kept, err := r.Keep(ctx, s.Key, s.Value, discovery.WithTakeover())
	if err != nil {
		return err
	}
	hctx, stop := context.WithCancel(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[s.Key], c.last = &entry{kept, stop}, r
	if ttl.heartbeat < ttl.ttl/3 { // otherwise the client renews often enough by itself
		go c.beat(hctx, r, ttl.heartbeat)
	}
	return nil
}

// registrar returns the registrar for a time to live in seconds.
func (c *client) registrar(ttl int64) *discovery.Registrar {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.registrars[ttl]
	if r == nil {
		r = discovery.NewRegistrar(c.cli, discovery.WithTTL(ttl))
		c.registrars[ttl] = r
	}
	return r
}

// beat renews the lease as often as the service wants.
func (c *client) beat(ctx context.Context, r *discovery.Registrar, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if id := r.Lease(); id != clientv3.NoLease {
				rctx, cancel := context.WithTimeout(ctx, every)
				_, _ = c.cli.KeepAliveOnce(rctx, id) // the client's own renewals notice a loss
				cancel()
			}
		case <-ctx.Done():
			return
		}
	}
}

func (c *client) Deregister(s Service) error {
	if s.Key == "" {
		return ErrNoKey
	}
	c.mu.Lock()
	e := c.entries[s.Key]
	delete(c.entries, s.Key)
	c.mu.Unlock()
	if e == nil {
		return nil
	}
	e.stop()
	ctx, cancel := context.WithTimeout(c.ctx, requestTimeout)
	defer cancel()
	return e.kept.Close(ctx)
}
