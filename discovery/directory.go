package discovery

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// Directory follows the instances of services for a process. All subscriptions to a service share
// one watch in etcd and one copy of its instances. It is safe for concurrent use. [NewDirectory]
// makes one; [Directory.Close] ends it.
type Directory struct {
	// clusters are the followed ones, in their order; the first is that of NewDirectory's client.
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
	// announceAfter delays the announcement of a seen revision.
	announceAfter time.Duration

	mu       sync.Mutex
	services map[string]*followed
	closed   bool
}

// Problem is a fault that a [Directory] left out or worked around; see [WithProblems].
type Problem struct {
	Service string
	Key     string // of a record, if it is about one
	Err     error
	Cluster string // whose; empty for the first, see WithFallback
}

// WithLog sets where problems are logged, one line each. Without it they go to slog's default
// logger; nil turns logging off.
func WithLog(log *slog.Logger) DirectoryOption {
	return directoryOption(func(d *Directory) {
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		d.log = log
	})
}

// WithProblems sets a function that is called for bad records, records that may not be read,
// protection that took effect, and files that cannot be used. It is called from several goroutines
// and must return soon.
func WithProblems(f func(Problem)) DirectoryOption {
	return directoryOption(func(d *Directory) { d.report = f })
}

// WithFiles keeps the last known instances of each service in a file in this directory, so that a
// process can start while etcd is away. A file is written a second after a change at the earliest,
// and used when etcd does not answer within a second; the view is then stale.
func WithFiles(dir string) DirectoryOption {
	return directoryOption(func(d *Directory) {
		if dir == "" {
			d.refuse("files in a directory without a name")
		}
		d.files = dir
	})
}

// Protection keeps instances that vanish together, since the cause is more likely a fault in
// registering than the end of all of them. Kept instances stay in the views until they are
// registered again, or Hold has passed.
type Protection struct {
	// Share of the instances, above 0 and up to 1, that may vanish within Window.
	Share float64
	// Least is the number of instances that may always vanish.
	Least int
	// Window is [DefaultWindow] if zero, Hold [DefaultHold].
	Window, Hold time.Duration
}

const (
	// DefaultWindow is above the usual time to live of records.
	DefaultWindow = 30 * time.Second
	// DefaultHold is long enough for an operator to look.
	DefaultHold = 5 * time.Minute
)

// WithProtection keeps instances that vanish together, as [Protection] says; off by default.
func WithProtection(p Protection) DirectoryOption {
	return directoryOption(func(d *Directory) {
		switch {
		case p.Window < 0 || p.Hold < 0:
			d.refuse("a protection for %v with a window of %v", p.Hold, p.Window)
		case !(p.Share > 0 && p.Share <= 1) || p.Least < 0: // or the share is not a number
			d.refuse("a protection when a share of %v or more than %d instances vanish", p.Share, p.Least)
		}
		p.Window, p.Hold = cmp.Or(p.Window, DefaultWindow), cmp.Or(p.Hold, DefaultHold)
		d.protect = p
	})
}

// DefaultReturnHold is the default TTL of registrars.
const DefaultReturnHold = DefaultTTL * time.Second

// WithReturnHold sets how long vanished instances stay in a view that was itself away from etcd, or
// whose etcd was wiped or restored. The time counts from the view's return: living instances that
// have lost their leases meanwhile register again. The view is stale as long as it holds any. While
// instances come back the time is extended, to at most six times as long. Use the longest TTL of
// the services' registrars; the default is [DefaultReturnHold], 0 holds nothing. An instance that
// was draining is not held.
//
// In the five minutes after an election an instance that vanishes stays for 2 s too, unless d is 0:
// a leader that stood still may have revoked the lease of a living one. It stays longer while
// others come back, and while etcd has no leader, and for 4 s after that. The view is not stale
// then.
//
// If a restored etcd has an older record of an instance, with other addresses, an earlier run of it
// is there again until its lease ends, and the present one can register only then. The view has
// both for that time, 3 s more than otherwise, under the same id.
func WithReturnHold(d time.Duration) DirectoryOption {
	return directoryOption(func(o *Directory) {
		if d < 0 {
			o.refuse("instances held for %v", d)
		}
		o.hold = d
	})
}

// NewDirectory makes a Directory; it does nothing until the first [Directory.Subscribe]. For an
// invalid client or option, Subscribe returns an error that wraps [ErrInvalid].
func NewDirectory(client *clientv3.Client, opts ...DirectoryOption) *Directory {
	d := &Directory{format: JSON{}, log: slog.Default(), hold: DefaultReturnHold, services: make(map[string]*followed)}
	ctx := context.Background()
	if client == nil {
		d.refuse("the client is nil")
	} else {
		ctx = client.Ctx()
	}
	d.clusters = []*cluster{newCluster("", client)}
	d.group = worker.New(ctx)
	for _, o := range opts {
		if o == nil {
			d.refuse("an option is nil")
			continue
		}
		o.directory(d)
	}
	if d.announceAfter > 0 && d.announceAs == "" {
		d.refuse("announcements after %v, but none are made", d.announceAfter)
	}
	if d.announceAs != "" && d.err == nil {
		for _, c := range d.clusters {
			c.announcer = NewRegistrar(c.client)
		}
	}
	return d
}

// refuse notes an invalid argument; the first one becomes the error.
func (d *Directory) refuse(format string, args ...any) {
	if d.err == nil {
		d.err = invalid("directory: "+format, args...)
	}
}

// Subscribe begins to follow a service. It does not wait: see [Subscription.Ready]. An unknown
// service is one without instances. It fails with an error that wraps [ErrInvalid] for an invalid
// name, client or option, and with [ErrClosed] after [Directory.Close] or the end of the client.
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

// release stops following a service without subscriptions.
func (d *Directory) release(s *followed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.refs--; s.refs == 0 {
		delete(d.services, s.service)
		s.stop()
	}
}

// Close ends all subscriptions. It returns when the directory's goroutines have ended. The client
// stays open.
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

// problem reports a fault that was worked around.
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
