package etcdv3

import (
	"context"
	"slices"
	"sync"

	"github.com/go-kit/kit/sd"
	"github.com/go-kit/log"
)

// Instancer passes the values of the keys with a prefix, and every change of them, to the channels
// that are registered.
type Instancer struct {
	client Client
	prefix string
	logger log.Logger
	stop   context.CancelFunc
	ended  sync.WaitGroup

	mu     sync.Mutex
	values map[string]string // by key; nil without a differ
	sorted []string          // the values in order; replaced, never changed
	state  sd.Event          // the last one delivered
	subs   map[chan<- sd.Event]*mailbox
	// stopped: Stop was called, nothing more is delivered.
	stopped bool
}

// NewInstancer returns an Instancer. If etcd does not answer, that is not an error but an Event
// with an Err; the values follow when it does.
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
	<-loaded // by values or by an error
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
	if f.s.values == nil { // otherwise the known values stay
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

// tell hands a state to all subscribers. The caller holds mu.
func (s *Instancer) tell(e sd.Event) {
	s.state = e
	for _, m := range s.subs {
		m.put(e)
	}
}

// Stop ends the Instancer and may be called again. Subscribers get nothing more.
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

// Register implements [sd.Instancer]: ch gets the present state and then every change. If changes
// come faster than ch is read, it gets the last. Like go-kit's own, Register returns once the
// present state was received, so that the receiver can use it at once. [Instancer.Deregister] and
// [Instancer.Stop] end that wait too.
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

// Deregister implements [sd.Instancer].
func (s *Instancer) Deregister(ch chan<- sd.Event) {
	s.mu.Lock()
	m := s.subs[ch]
	delete(s.subs, ch)
	s.mu.Unlock()
	if m != nil {
		m.close()
	}
}
