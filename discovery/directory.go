package discovery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// Directory shows a process which instances services have. All who subscribe to a service
// share one watch in etcd and one copy of its instances. It is safe for concurrent use.
type Directory struct {
	// clusters are those that are followed, in their order; the first is that of NewDirectory's
	// client.
	clusters []*cluster
	format   Format
	log      *slog.Logger
	report   func(Problem)
	files    string
	protect  Protection
	hold     time.Duration
	group    *worker.Group
	err      error // an argument or option makes no sense

	announceAs string // id among the watchers; empty: not announced
	// announceAfter is how much later a seen revision is announced.
	announceAfter time.Duration

	mu       sync.Mutex
	services map[string]*followed
	closed   bool
}

// Problem is something wrong that was left out or got around.
type Problem struct {
	Service string
	Key     string // of a record, if it is about one
	Err     error
	Cluster string // whose; empty for the first, see WithFallback
}

// WithLog sets where problems are logged, one line each: slog's default logger if not set,
// nowhere if nil.
func WithLog(log *slog.Logger) DirectoryOption {
	return directoryOption(func(d *Directory) {
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		d.log = log
	})
}

// WithProblems sets a function that is called for bad records, of services whose records may not be
// read, of protection, and of files that cannot be used. It must return soon.
func WithProblems(f func(Problem)) DirectoryOption {
	return directoryOption(func(d *Directory) { d.report = f })
}

// WithFiles keeps the last known instances of each service in a file in this directory,
// so that a process can start while etcd is away. They are written a second after a change
// at the earliest, and used when etcd does not answer within a second; the view is stale
// then.
func WithFiles(dir string) DirectoryOption {
	return directoryOption(func(d *Directory) { d.files = dir })
}

// Protection keeps instances that vanish together: rather a fault of whoever registers
// them than of all of them. What is kept stays in the views until it is registered again,
// or Hold has passed.
type Protection struct {
	// Share of the instances, above 0 to 1, that may vanish within Window.
	Share float64
	// Least is how many may always vanish.
	Least int
	// Window is DefaultWindow if zero, Hold DefaultHold.
	Window, Hold time.Duration
}

const (
	// DefaultWindow is above the usual time to live of records.
	DefaultWindow = 30 * time.Second
	// DefaultHold is enough for somebody to look.
	DefaultHold = 5 * time.Minute
)

// WithProtection protects against sudden disappearance; off by default.
func WithProtection(p Protection) DirectoryOption {
	return directoryOption(func(d *Directory) {
		if p.Window < 0 || p.Hold < 0 {
			d.refuse("a protection for %v with a window of %v", p.Hold, p.Window)
			return
		}
		if p.Window == 0 {
			p.Window = DefaultWindow
		}
		if p.Hold == 0 {
			p.Hold = DefaultHold
		}
		d.protect = p
	})
}

// DefaultReturnHold is the TTL of registrars that have no other.
const DefaultReturnHold = DefaultTTL * time.Second

// WithReturnHold sets how long instances that have vanished stay in a view that was itself away
// from etcd, or whose etcd was wiped or restored, counted from its return: those that live, and
// have lost their leases meanwhile, register again. The view is stale as long as it holds any.
// While they come back it goes on, up to six times as long. Use the longest TTL of the services'
// registrars; the default is [DefaultReturnHold], 0 holds nothing. An instance that was
// draining is not held.
func WithReturnHold(d time.Duration) DirectoryOption {
	return directoryOption(func(o *Directory) {
		if d < 0 {
			o.refuse("instances held for %v", d)
		}
		o.hold = d
	})
}

// NewDirectory makes a Directory; it does nothing until somebody subscribes. A client or an option
// that makes no sense is the error of Subscribe then, which wraps [ErrInvalid].
func NewDirectory(client *clientv3.Client, opts ...DirectoryOption) *Directory {
	d := &Directory{format: JSON{}, log: slog.Default(), hold: DefaultReturnHold, services: make(map[string]*followed)}
	ctx := context.Background()
	if client == nil {
		d.refuse("the client is nil")
	} else {
		ctx = client.Ctx()
	}
	d.clusters = []*cluster{{client: client}}
	d.group = worker.New(ctx)
	for _, o := range opts {
		if o == nil {
			d.refuse("an option is nil")
			continue
		}
		o.directory(d)
	}
	if d.announceAs != "" && d.err == nil {
		for _, c := range d.clusters {
			c.announcer = NewRegistrar(c.client)
		}
	}
	return d
}

// refuse notes what makes no sense; the first such thing is the error.
func (d *Directory) refuse(format string, args ...any) {
	if d.err == nil {
		d.err = invalid("directory: "+format, args...)
	}
}

// Subscribe begins to follow a service. It does not wait: see [Subscription.Ready]. A
// service that is not there is one without instances.
func (d *Directory) Subscribe(service string) (*Subscription, error) {
	if d.err != nil {
		return nil, d.err
	}
	if err := validName("service", service); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	s := d.services[service]
	if s == nil {
		if s = d.follow(service); s == nil {
			return nil, ErrClosed
		}
		d.services[service] = s
	}
	s.refs++
	return s.subscribe(), nil
}

// follow begins to follow a service in all clusters; nil if the directory has ended.
func (d *Directory) follow(service string) *followed {
	s := newFollowed(d, service)
	for _, f := range s.feeds {
		if !d.group.Go(f.run) {
			return nil // its first cluster's client has ended, so none runs
		}
		if f.cluster.announcer != nil {
			d.group.Go(f.announce)
		}
	}
	s.begin()
	return s
}

// release stops following a service that nobody follows any more.
func (d *Directory) release(s *followed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.refs--; s.refs == 0 {
		delete(d.services, s.service)
		s.stop()
	}
}

// Close ends all subscriptions.
func (d *Directory) Close() error {
	d.mu.Lock()
	d.closed = true
	for _, s := range d.services {
		for _, f := range s.feeds {
			f.end()
		}
		s.stop()
	}
	d.mu.Unlock()
	d.group.Stop()
	var errs []error
	for _, c := range d.clusters {
		if c.announcer != nil {
			errs = append(errs, c.announcer.Close())
		}
	}
	return errors.Join(errs...)
}

// problem reports what was got around.
func (d *Directory) problem(p Problem) {
	attrs := []slog.Attr{slog.String("service", p.Service), slog.String("key", p.Key), slog.Any("error", p.Err)}
	if p.Cluster != "" {
		attrs = append(attrs, slog.String("cluster", p.Cluster))
	}
	d.log.LogAttrs(context.Background(), slog.LevelWarn, "discovery", attrs...)
	if d.report != nil {
		d.report(p)
	}
}
