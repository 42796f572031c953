package endpoints

import (
	"context"
	"errors"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/internal/registry"
)

// NewManager returns a Manager of the endpoints of a target. The client must not be nil
// nor the target empty. A slash at the end of the target counts: the keys of "orders/"
// begin with "orders//".
func NewManager(client *clientv3.Client, target string) (Manager, error) {
	switch {
	case client == nil:
		return nil, errors.New("endpoints: the etcd client is nil")
	case target == "":
		return nil, errors.New("endpoints: the target is empty")
	}
	return &manager{client: client, target: target}, nil
}

type manager struct {
	client *clientv3.Client
	target string
	seen   atomic.Int64 // the latest revision of all answers; no result of List is older
}

// saw notes the revision of an answer.
func (m *manager) saw(rev int64) {
	for seen := m.seen.Load(); seen < rev && !m.seen.CompareAndSwap(seen, rev); seen = m.seen.Load() {
	}
}

// follow begins to follow the target.
func (m *manager) follow(ctx context.Context) (*registry.Follower, []registry.Change, error) {
	f := registry.NewFollower(ctx, m.client, m.target)
	f.AtLeast = m.seen.Load()
	changes, err := f.List()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	m.saw(f.Revision())
	return f, changes, nil
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, "endpoints: "+format, args...)
}

func (m *manager) Update(ctx context.Context, updates []*UpdateWithOpts) error {
	ops := make([]clientv3.Op, 0, len(updates))
	for i, u := range updates {
		if u == nil {
			return invalid("update %d is nil", i)
		}
		op, err := m.op(u)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	if len(ops) == 0 {
		return nil
	}
	r, err := m.client.Txn(ctx).Then(ops...).Commit()
	if err == nil {
		m.saw(r.Header.GetRevision())
	}
	return err
}

func (m *manager) op(u *UpdateWithOpts) (op clientv3.Op, err error) {
	if !registry.Owns(m.target, u.Key) {
		return op, invalid(
			"the key %q is not under the target: it has to begin with %q",
			u.Key,
			registry.Prefix(m.target),
		)
	}
	switch u.Op {
	case Add:
		value, err := registry.Encode(registry.Record{Addr: u.Endpoint.Addr, Metadata: u.Endpoint.Metadata})
		if err != nil {
			return op, invalid("%q: %v", u.Key, err)
		}
		return clientv3.OpPut(u.Key, value, u.Opts...), nil
	case Delete:
		return clientv3.OpDelete(u.Key, u.Opts...), nil
	}
	return op, invalid("%q: there is no operation %d", u.Key, u.Op)
}

func (m *manager) AddEndpoint(ctx context.Context, key string, endpoint Endpoint, opts ...clientv3.OpOption) error {
	return m.Update(ctx, []*UpdateWithOpts{NewAddUpdateOpts(key, endpoint, opts...)})
}

func (m *manager) DeleteEndpoint(ctx context.Context, key string, opts ...clientv3.OpOption) error {
	return m.Update(ctx, []*UpdateWithOpts{NewDeleteUpdateOpts(key, opts...)})
}

func (m *manager) List(ctx context.Context) (Key2EndpointMap, error) {
	if ctx == nil {
		return nil, invalid("the context is nil")
	}
	f, changes, err := m.follow(ctx)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list := make(Key2EndpointMap, len(changes))
	for _, c := range changes {
		list[c.Key] = Endpoint(*c.Now)
	}
	return list, nil
}

func (m *manager) NewWatchChannel(ctx context.Context) (WatchChannel, error) {
	if ctx == nil {
		return nil, invalid("the context is nil")
	}
	f, first, err := m.follow(ctx)
	if err != nil {
		return nil, err
	}
	out := make(chan []*Update, 1)
	go func() {
		defer f.Close()
		defer close(out)
		m.pass(f, first, out)
	}()
	return out, nil
}

// pass delivers changes until ctx or the client ends.
func (m *manager) pass(f *registry.Follower, changes []registry.Change, out chan<- []*Update) {
	for failures := 0; ; {
		if len(changes) > 0 {
			select {
			case out <- updates(changes):
			case <-f.Context().Done():
				return
			case <-m.client.Ctx().Done():
				return
			}
		}
		var err error
		if changes, err = f.Next(); err == nil {
			failures = 0
			continue
		}
		if f.Closed(err) {
			return
		}
		if failures == 0 {
			m.client.GetLogger().
				Sugar().
				Warnw("endpoints cannot be watched for the moment", "target", m.target, "error", err)
		}
		longest := registry.PauseMax
		if registry.Refused(err) {
			longest = registry.RefusedPauseMax
		}
		f.Pause(failures, longest)
		failures++
	}
}

func updates(changes []registry.Change) []*Update {
	list := make([]*Update, len(changes))
	for i, c := range changes {
		list[i] = &Update{Op: Delete, Key: c.Key}
		if c.Now != nil {
			list[i].Op, list[i].Endpoint = Add, Endpoint(*c.Now)
		}
	}
	return list
}
