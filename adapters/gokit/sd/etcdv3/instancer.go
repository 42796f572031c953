package etcdv3

import (
	"context"
	"slices"
	"sync"

	"github.com/go-kit/kit/sd"
	"github.com/go-kit/log"
)

// Instancer yields the values of the keys with a prefix, and every change of them, to those
// who register.
type Instancer struct {
	client Client
	prefix string
	logger log.Logger
	stop   context.CancelFunc
	ended  sync.WaitGroup

	mu     sync.Mutex
	values map[string]string // by key; nil without a differ
	sorted []string          // of values; never changed, but replaced
	state  sd.Event          // as delivered last
	subs   map[chan<- sd.Event]*mailbox
	// stopped: Stop was called, nothing is to come.
	stopped bool
}

// NewInstancer returns an Instancer. That etcd does not answer is no error but an
// Event with an Err; the values come when it does.
func NewInstancer(c Client, prefix string, logger log.Logger) (*Instancer, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &Instancer{client: c, prefix: prefix, logger: logger, stop: stop, subs: make(map[chan<- sd.Event]*mailbox)}
	d, ok := c.(differ)
	if !ok {
		s.load()
		s.ended.Go(func() { s.loop(ctx) })
		return s, nil
	}
	loaded := make(chan struct{})
	var once sync.Once
	r := &feed{s: s, first: func() { once.Do(func() { close(loaded) }) }}
	s.ended.Go(func() {
		defer r.first()
		d.follow(ctx, prefix, r)
	})
	<-loaded // values or an error
	return s, nil
}

// feed takes the changes of a differ.
type feed struct {
	s     *Instancer
	first func()
}

func (f *feed) set(values map[string]string) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.values = values
	f.s.sorted = make([]string, 0, len(values))
	for _, v := range values {
		f.s.sorted = append(f.s.sorted, v)
	}
	slices.Sort(f.s.sorted)
	f.s.tell(sd.Event{Instances: f.s.sorted})
	f.first()
}

func (f *feed) change(key string, value *string) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	sorted := f.s.sorted
	if old, ok := f.s.values[key]; ok {
		i, _ := slices.BinarySearch(sorted, old)
		sorted = slices.Concat(sorted[:i], sorted[i+1:])
		delete(f.s.values, key)
	}
	if value != nil {
		i, _ := slices.BinarySearch(sorted, *value)
		sorted = slices.Concat(sorted[:i], []string{*value}, sorted[i:])
		f.s.values[key] = *value
	}
	f.s.sorted = sorted
}

func (f *feed) done() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.tell(sd.Event{Instances: f.s.sorted})
}

func (f *feed) failed(err error) {
	_ = f.s.logger.Log("prefix", f.s.prefix, "err", err)
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.values == nil { // what is known stays otherwise
		f.s.tell(sd.Event{Err: err})
	}
	f.first()
}

// load asks a client of another kind for everything.
func (s *Instancer) load() {
	values, err := s.client.GetEntries(s.prefix)
	slices.Sort(values)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		_ = s.logger.Log("prefix", s.prefix, "err", err)
		if s.sorted == nil {
			s.tell(sd.Event{Err: err})
		}
		return
	}
	s.sorted = values
	s.tell(sd.Event{Instances: values})
}

// loop follows a client of another kind, and watches again if its WatchPrefix returns.
func (s *Instancer) loop(ctx context.Context) {
	ch := make(chan struct{})
	returned := make(chan struct{}, 1)
	watch := func() {
		s.client.WatchPrefix(s.prefix, ch)
		returned <- struct{}{}
	}
	go watch()
	for {
		select {
		case <-ch:
			s.load()
		case <-returned:
			if !pause(ctx, watchAgain) {
				return
			}
			go watch()
		case <-ctx.Done():
			// WatchPrefix cannot be stopped; it must not block on a channel that nobody reads.
			go func() {
				for {
					select {
					case <-ch:
					case <-returned:
						return
					}
				}
			}()
			return
		}
	}
}

// tell passes a state on; the caller holds mu.
func (s *Instancer) tell(e sd.Event) {
	s.state = e
	for _, m := range s.subs {
		m.put(e)
	}
}

// Stop ends the Instancer; more often does no harm. Subscribers get nothing more.
func (s *Instancer) Stop() {
	s.stop()
	s.ended.Wait()
	s.mu.Lock()
	s.stopped = true
	subs := s.subs
	s.subs = nil
	s.mu.Unlock()
	for _, m := range subs {
		m.close()
	}
}

// Register implements sd.Instancer: ch gets the present state and then every change; of
// changes that come faster than it is read, the last. It returns when the present state was
// taken, as go-kit's own does, so that what stands on ch can be used then; Deregister and Stop
// end that wait too.
func (s *Instancer) Register(ch chan<- sd.Event) {
	s.mu.Lock()
	if s.stopped || s.subs[ch] != nil {
		s.mu.Unlock()
		return
	}
	m, now := newMailbox(ch), s.state
	s.subs[ch] = m
	s.mu.Unlock()
	m.start(now)
}

// Deregister implements sd.Instancer.
func (s *Instancer) Deregister(ch chan<- sd.Event) {
	s.mu.Lock()
	m := s.subs[ch]
	delete(s.subs, ch)
	s.mu.Unlock()
	if m != nil {
		m.close()
	}
}
