package discovery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// Directory shows a process which instances services have. All who subscribe to a service
// share one watch in etcd and one copy of its instances. It is safe for concurrent use.
type Directory struct {
	client  *clientv3.Client
	format  Format
	log     *slog.Logger
	report  func(Problem)
	files   string
	protect Protection
	hold    time.Duration
	group   *worker.Group

	announceAs string // id among the watchers; empty: not announced
	// announceAfter is how much later what was seen is told.
	announceAfter time.Duration
	announcer     *Registrar // nil if not announced

	mu     sync.Mutex
	feeds  map[string]*feed // by service
	closed bool
}

// Problem is something wrong that was left out or got around.
type Problem struct {
	Service string
	Key     string // of a record, if it is about one
	Err     error
}

// DirectoryOption changes a Directory.
type DirectoryOption func(*Directory)

// WithRecords sets how records are stored; JSON{} is the default.
func WithRecords(f Format) DirectoryOption { return func(d *Directory) { d.format = f } }

// WithLog sets where problems are logged, one line each: slog's default logger if not set,
// nowhere if nil.
func WithLog(log *slog.Logger) DirectoryOption {
	return func(d *Directory) {
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		d.log = log
	}
}

// WithProblems sets a function that is told of bad records, of services whose records may not be
// read, of protection, and of files that cannot be used. It must return soon.
func WithProblems(f func(Problem)) DirectoryOption { return func(d *Directory) { d.report = f } }

// WithFiles keeps the last known instances of each service in a file in this directory,
// so that a process can start while etcd is away. They are written a second after a change
// at the earliest, and used when etcd does not answer within a second; the view is stale
// then.
func WithFiles(dir string) DirectoryOption { return func(d *Directory) { d.files = dir } }

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
	return func(d *Directory) {
		if p.Window <= 0 {
			p.Window = DefaultWindow
		}
		if p.Hold <= 0 {
			p.Hold = DefaultHold
		}
		d.protect = p
	}
}

// DefaultReturnHold is the TTL of registrars that have no other.
const DefaultReturnHold = DefaultTTL * time.Second

// WithReturnHold sets how long instances that have vanished stay in a view that was itself away
// from etcd, or whose etcd was wiped or restored, counted from its return: those that live, and
// have lost their leases meanwhile, register again. The view is stale as long as it holds any. While they come
// back it goes on, up to six times as long. Use the longest TTL of the services' registrars; the
// default is [DefaultReturnHold], 0 or less holds nothing. An instance that was draining is not held.
func WithReturnHold(d time.Duration) DirectoryOption {
	return func(o *Directory) { o.hold = max(d, 0) }
}

// NewDirectory makes a Directory; it does nothing until somebody subscribes.
func NewDirectory(client *clientv3.Client, opts ...DirectoryOption) *Directory {
	d := &Directory{client: client, format: JSON{}, log: slog.Default(), hold: DefaultReturnHold, group: worker.New(client.Ctx()), feeds: make(map[string]*feed)}
	for _, o := range opts {
		o(d)
	}
	if d.announceAs != "" {
		d.announcer = NewRegistrar(client)
	}
	return d
}

// Subscribe begins to follow a service. It does not wait: see Subscription.Ready. A
// service that is not there is one without instances.
func (d *Directory) Subscribe(service string) (*Subscription, error) {
	if err := validName("service", service); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	f := d.feeds[service]
	if f == nil {
		f = newFeed(d, service)
		if !d.group.Go(f.run) {
			return nil, ErrClosed
		}
		if d.announcer != nil {
			d.group.Go(f.announce)
		}
		d.feeds[service] = f
	}
	f.refs++
	return f.subscribe(), nil
}

// release ends a feed that nobody follows any more.
func (d *Directory) release(f *feed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.refs--; f.refs == 0 {
		delete(d.feeds, f.service)
		f.stop()
	}
}

// Close ends all subscriptions.
func (d *Directory) Close() error {
	d.mu.Lock()
	d.closed = true
	for _, f := range d.feeds {
		f.end()
	}
	d.mu.Unlock()
	d.group.Stop()
	if d.announcer != nil {
		return d.announcer.Close()
	}
	return nil
}

// problem reports what was got around.
func (d *Directory) problem(p Problem) {
	d.log.LogAttrs(context.Background(), slog.LevelWarn, "discovery", slog.String("service", p.Service), slog.String("key", p.Key), slog.Any("error", p.Err))
	if d.report != nil {
		d.report(p)
	}
}
