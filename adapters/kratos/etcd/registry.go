package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-kratos/kratos/v2/registry"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

const (
	defaultTTL = 15 * time.Second
	// defaultServing is far longer than watchers need to learn that a record is gone.
	defaultServing = time.Second
)

// Option changes a Registry.
type Option func(*options)

type options struct {
	ctx       context.Context
	namespace string
	ttl       time.Duration
	serving   time.Duration
}

// Context ends the Registry with ctx, as Close does. The background context is the default.
func Context(ctx context.Context) Option { return func(o *options) { o.ctx = ctx } }

// Namespace sets what all keys begin with, without the slash that follows; "/microservices" by
// default.
func Namespace(ns string) Option { return func(o *options) { o.namespace = ns } }

// RegisterTTL sets how long records live without their process, in whole seconds, rounded up; 15 s
// by default.
func RegisterTTL(ttl time.Duration) Option { return func(o *options) { o.ttl = ttl } }

// MaxRetry is for programs that were written for kratos' own package, which gives a record up
// after this many attempts. Here a record is put again as long as its process is alive, whatever
// the number.
func MaxRetry(int) Option { return func(*options) {} }

// WithServing sets how long [Registry.Deregister] waits after the record is gone, so that calls
// that were on their way still reach a server; a second by default, 0 for not at all. Kratos stops
// its servers when Deregister has returned.
func WithServing(d time.Duration) Option { return func(o *options) { o.serving = d } }

// Registry registers services of kratos in etcd and follows them. It is safe for concurrent use.
type Registry struct {
	client *clientv3.Client
	opts   options
	err    error // what is wrong with the options; returned by every call
	stop   func() bool

	mu        sync.Mutex
	closed    bool                       // guarded by mu
	registrar *discovery.Registrar       // guarded by mu; nil before the first Register
	directory *discovery.Directory       // guarded by mu; nil before the first follower
	kept      map[string]*discovery.Kept // guarded by mu; by key
}

var (
	_ registry.Registrar = (*Registry)(nil)
	_ registry.Discovery = (*Registry)(nil)
)

// New makes a Registry. The caller still owns the client; when it is closed, watchers end. If the
// client or an option makes no sense, every call returns that error.
func New(client *clientv3.Client, opts ...Option) *Registry {
	r := &Registry{
		client: client, kept: make(map[string]*discovery.Kept),
		opts: options{ctx: context.Background(), namespace: "/microservices", ttl: defaultTTL, serving: defaultServing},
	}
	for _, o := range opts {
		if o == nil {
			r.err = fmt.Errorf("%w: an option is nil", discovery.ErrInvalid)
			continue
		}
		o(&r.opts)
	}
	switch {
	case r.err != nil:
	case client == nil:
		r.err = fmt.Errorf("%w: the client is nil", discovery.ErrInvalid)
	case r.opts.ctx == nil:
		r.err = fmt.Errorf("%w: the context is nil", discovery.ErrInvalid)
	case r.opts.ttl <= 0:
		r.err = fmt.Errorf("%w: the TTL is %v", discovery.ErrInvalid, r.opts.ttl)
	case r.opts.serving < 0:
		r.err = fmt.Errorf("%w: the time of serving is %v", discovery.ErrInvalid, r.opts.serving)
	default:
		r.stop = context.AfterFunc(r.opts.ctx, func() { _ = r.Close() })
	}
	return r
}

// Register puts the record of a service, returns when it is stored, and keeps it until
// [Registry.Deregister]. If the service is registered already, its record is changed. If ctx ends
// first, nothing is kept and the error says what etcd answered. Register takes over another
// process's record of that id.
func (r *Registry) Register(ctx context.Context, service *registry.ServiceInstance) error {
	key, value, err := r.record(service)
	if err != nil {
		return err
	}
	registrar, kept, err := r.registering(key)
	switch {
	case err != nil:
		return err
	case kept != nil:
		return kept.Set(ctx, value)
	}
	kept, err = registrar.Keep(ctx, key, value, discovery.WithTakeover())
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[key] = kept
	return nil
}

// Deregister removes the record if it still belongs to this process, and then waits for a second,
// or as long as [WithServing] says. If ctx ends first, the removal goes on in the background, and
// at the latest the lease removes the record. It is no error if the service is not registered.
func (r *Registry) Deregister(ctx context.Context, service *registry.ServiceInstance) error {
	key, _, err := r.record(service)
	if err != nil {
		return err
	}
	r.mu.Lock()
	kept := r.kept[key]
	delete(r.kept, key)
	r.mu.Unlock()
	if kept == nil {
		return nil
	}
	if err := kept.Close(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(r.opts.serving):
	case <-ctx.Done():
	case <-r.opts.ctx.Done():
	}
	return nil
}

// GetService returns the instances of a service, ordered by id. They are read now, unless a
// Watcher of this Registry follows the service: then they are the ones that it knows.
func (r *Registry) GetService(ctx context.Context, name string) ([]*registry.ServiceInstance, error) {
	sub, err := r.follow(name)
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	if err := sub.Ready(ctx); err != nil {
		return nil, err
	}
	return list(sub.View()), nil
}

// Watch follows a service, which need not exist. It does not wait for etcd. The Watcher ends with
// ctx.
func (r *Registry) Watch(ctx context.Context, name string) (registry.Watcher, error) {
	sub, err := r.follow(name)
	if err != nil {
		return nil, err
	}
	return newWatcher(ctx, sub), nil
}

// Close removes all records of this Registry and ends its watchers. It takes at most 3 s. Kratos
// does not call it, since it deregisters by itself; Close is for tests, and for programs that
// follow services only for a while.
func (r *Registry) Close() error {
	r.mu.Lock()
	registrar, directory := r.registrar, r.directory
	r.closed, r.registrar, r.directory = true, nil, nil
	clear(r.kept)
	r.mu.Unlock()
	if r.stop != nil {
		r.stop()
	}
	var errs []error
	if registrar != nil {
		errs = append(errs, registrar.Close())
	}
	if directory != nil {
		errs = append(errs, directory.Close())
	}
	return errors.Join(errs...)
}

// usable returns the error of every call, or nil. The caller holds mu.
func (r *Registry) usable() error {
	if r.err == nil && r.closed {
		return discovery.ErrClosed
	}
	return r.err
}

// registering returns the registrar, and the record that is kept at key, if any.
func (r *Registry) registering(key string) (*discovery.Registrar, *discovery.Kept, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.usable(); err != nil {
		return nil, nil, err
	}
	if r.registrar == nil {
		seconds := max(1, int64((r.opts.ttl+time.Second-1)/time.Second)) // kratos accepts any duration
		r.registrar = discovery.NewRegistrar(r.client, discovery.WithTTL(seconds))
	}
	return r.registrar, r.kept[key], nil
}

func (r *Registry) follow(name string) (*discovery.Subscription, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.usable(); err != nil {
		return nil, err
	}
	if r.directory == nil {
		r.directory = discovery.NewDirectory(r.client, discovery.WithFormat(records{r.base()}))
	}
	return r.directory.Subscribe(name)
}

func (r *Registry) base() string { return r.opts.namespace + "/" }

// record returns the key and value under which a service is stored.
func (r *Registry) record(s *registry.ServiceInstance) (key, value string, err error) {
	if r.err != nil {
		return "", "", r.err
	}
	if s == nil {
		return "", "", fmt.Errorf("%w: the service is nil", discovery.ErrInvalid)
	}
	if s.Name == "" || s.ID == "" {
		return "", "", fmt.Errorf("%w: a service has the name %q and the id %q", discovery.ErrInvalid, s.Name, s.ID)
	}
	b, err := json.Marshal(s)
	return r.base() + s.Name + "/" + s.ID, string(b), err
}
