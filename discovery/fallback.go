package discovery

// Several clusters: a service has a feed for each of them, and all are followed all the time. A
// subscription has a track for each feed, and shows the instances of one: choose says which. Only
// the views decide, so there is no state to undo, and a view that is merely stale changes nothing.

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/follow"
)

// fallbackAfter is how long to wait for a cluster's first answer before the next cluster may be
// used: longer than the wait for a file (WithFiles), and shorter than calls wait.
const fallbackAfter = 2 * time.Second

// WithFallback adds a cluster. A service's instances come from the first cluster that has an
// instance which takes work: first the cluster of [NewDirectory]'s client, then those of this
// option, in their order. A cluster that does not answer within 2 s is passed over until it
// answers. The choice is made for each service by the views, and subscribers see it as any change
// of the instances; instances, views and problems carry the cluster's name. When the first cluster
// has an instance again, it is used again.
//
// A stale view still counts: while a cluster's etcd is away, its last known instances stay in use.
// So if a cluster is lost together with its etcd, the directory notices only when etcd, restarted,
// has expired the leases.
//
// All clusters are followed all the time, with the same records and options. [WithFiles] keeps a
// directory for each. The client stays the caller's. The directory ends with the first cluster's
// client. For a client that is nil or added twice, and for an invalid name or one that is used
// twice, [Directory.Subscribe] returns an error that wraps [ErrInvalid].
func WithFallback(cluster string, client *clientv3.Client) DirectoryOption {
	return directoryOption(func(d *Directory) { d.addCluster(cluster, client) })
}

// cluster is one of those that a Directory follows.
type cluster struct {
	name      string // empty for the first
	client    *clientv3.Client
	announcer *Registrar    // nil if not announced
	lists     chan struct{} // a token for each feed that lists
	announces chan struct{} // one for each that begins to announce itself

	mu      sync.Mutex // guards what follows
	looked  time.Time
	answers bool // as of then
}

// mostAtOnce is how many feeds of a cluster list, and how many announce themselves, at a time:
// enough to keep a member busy. All of a thousand at once would take far more memory than what
// they leave.
const mostAtOnce = 32

func newCluster(name string, client *clientv3.Client) *cluster {
	return &cluster{
		name: name, client: client, lists: make(chan struct{}, mostAtOnce), announces: make(chan struct{}, mostAtOnce),
	}
}

// turn runs f on a stack of its own when fewer than mostAtOnce others run; it fails if ctx ends
// first. A stack that has grown never becomes small again, so a goroutine that lives for long keeps
// its own small.
func turn(ctx context.Context, turns chan struct{}, f func()) error {
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-turns }()
	apart(f)
	return nil
}

// apart runs f on a stack of its own.
func apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// reachableFor is how long an answer to "does the cluster answer" is reused: short beside
// follow.LookEvery, in which each of thousands of services asks.
const reachableFor = follow.LookEvery / 10

// reachable reports whether any member answers.
func (c *cluster) reachable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= reachableFor {
		c.looked, c.answers = now, follow.Reachable(c.client)
	}
	return c.answers
}

func (d *Directory) addCluster(name string, client *clientv3.Client) {
	if err := validName("cluster", name); err != nil {
		d.refuse("%v", err)
		return
	}
	if client == nil {
		d.refuse("the client of the cluster %s is nil", name)
		return
	}
	for _, c := range d.clusters {
		switch {
		case c.name == name:
			d.refuse("the cluster %s is there twice", name)
			return
		case c.client == client:
			d.refuse("the client of the cluster %s is there twice", name)
			return
		}
	}
	d.clusters = append(d.clusters, newCluster(name, client))
}

// files returns the directory of the cluster's files. A service's file ends in .json.
func (c *cluster) files(dir string) string {
	if c.name == "" {
		return dir
	}
	return filepath.Join(dir, "cluster="+url.PathEscape(c.name))
}

// followed is a service with subscriptions.
type followed struct {
	d       *Directory
	service string
	feeds   []*feed // one for each cluster, in their order
	refs    int     // guarded by d.mu
	overdue atomic.Bool
	timer   *time.Timer // sets overdue; nil for one cluster
	ready   chan struct{}
	once    sync.Once // closes ready
}

func newFollowed(d *Directory, service string) *followed {
	s := &followed{d: d, service: service, ready: make(chan struct{})}
	for _, c := range d.clusters {
		s.feeds = append(s.feeds, newFeed(s, c))
	}
	return s
}

func (s *followed) begin() {
	if len(s.feeds) > 1 {
		s.timer = time.AfterFunc(fallbackAfter, func() {
			s.overdue.Store(true)
			s.said()
			s.feeds[0].poke()
		})
	}
}

func (s *followed) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, f := range s.feeds {
		f.stop()
	}
}

// said notes that a feed has answered: there may be a view.
func (s *followed) said() {
	if s.feeds[s.choose()].view.Load() != nil {
		s.once.Do(func() { close(s.ready) })
	}
}

// choose returns the number of the cluster whose view is shown.
func (s *followed) choose() int {
	if len(s.feeds) == 1 {
		return 0
	}
	return choose(len(s.feeds), func(i int) *View { return s.feeds[i].view.Load() }, s.overdue.Load())
}

// choose returns the first of n views that has an instance which takes work; if there is none, the
// first view there is. Until the service is overdue a missing view may still come.
func choose(n int, view func(int) *View, overdue bool) int {
	known := -1
	for i := range n {
		v := view(i)
		switch {
		case v == nil && !overdue:
			return max(known, 0)
		case v == nil:
		case v.Len() > v.draining:
			return i
		case known < 0:
			known = i
		}
	}
	return max(known, 0)
}

// subscribe adds a subscription; it begins with everything.
func (s *followed) subscribe() *Subscription {
	sub := &Subscription{of: s, wake: make(chan struct{}, 1), done: make(chan struct{})}
	for _, f := range s.feeds {
		sub.tracks = append(sub.tracks, &track{s: sub, f: f})
	}
	for _, t := range sub.tracks {
		t.f.mu.Lock()
		t.f.subs[t] = struct{}{}
		if t.f.view.Load() != nil {
			sub.poke()
		}
		t.f.mu.Unlock()
	}
	return sub
}

// unread returns the error of a context that ended while there was no view, with the known reasons.
func (s *followed) unread(ctx context.Context) error {
	err := ctx.Err()
	if s.feeds[s.choose()].view.Load() != nil {
		return err
	}
	for _, f := range s.feeds {
		f.mu.Lock()
		why := f.err
		f.mu.Unlock()
		switch {
		case why == nil:
		case f.cluster.name == "":
			err = fmt.Errorf("%w: %w", err, why)
		default:
			err = fmt.Errorf("%w; cluster %s: %w", err, f.cluster.name, why)
		}
	}
	return err
}

// between returns the difference between two views of the same service.
func between(old, now *View) (c Change) {
	before := make(map[string]*Instance, old.Len())
	for in := range old.All() {
		before[in.ID] = in
	}
	for in := range now.All() {
		switch was := before[in.ID]; {
		case was == nil:
			c.Added = append(c.Added, in)
		case !was.Equal(in):
			c.Updated = append(c.Updated, in)
		}
		delete(before, in.ID)
	}
	for _, in := range before {
		c.Removed = append(c.Removed, in)
	}
	return c
}

// ClusterStatus is the state of a service in one cluster; see [Subscription.Clusters].
type ClusterStatus struct {
	// Cluster is its name, empty for the first.
	Cluster string
	// Used: the subscription's view has this cluster's instances.
	Used bool
	// Instances is the number of instances, Draining the number of those that take no new work.
	Instances, Draining int
	// Status says how current the cluster's view is.
	Status Status
}

// Clusters returns the service's state in each cluster, in their order; see [WithFallback].
func (s *Subscription) Clusters() []ClusterStatus {
	used := s.of.choose()
	list := make([]ClusterStatus, len(s.of.feeds))
	for i, f := range s.of.feeds {
		list[i] = ClusterStatus{Cluster: f.cluster.name, Used: i == used, Status: f.status()}
		if v := f.view.Load(); v != nil {
			list[i].Instances, list[i].Draining = v.Len(), v.draining
		}
	}
	return list
}
