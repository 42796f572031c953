package etcdv3

import (
	"slices"
	"sync"
	"time"

	"github.com/go-kit/kit/sd"
)

// mailbox delivers to one subscriber, which may be slow: it keeps only the latest event. Each
// mailbox has a goroutine.
type mailbox struct {
	ch   chan<- sd.Event
	wake chan struct{}
	stop chan struct{}
	gone chan struct{}
	once sync.Once

	mu     sync.Mutex
	latest *sd.Event
}

func newMailbox(ch chan<- sd.Event) *mailbox {
	return &mailbox{ch: ch, wake: make(chan struct{}, 1), stop: make(chan struct{}), gone: make(chan struct{})}
}

// settle is the time that a receiver gets for its first event. A go-kit endpointer makes its
// endpoints of it in a goroutine of its own, and nothing shows when it has; programs make calls at
// once.
const settle = 2 * time.Millisecond

// start waits until the subscriber has the first event, and then delivers what is put.
func (m *mailbox) start(e sd.Event) {
	if m.deliver(&e) {
		time.Sleep(settle)
	}
	go m.run()
}

// deliver returns false after close.
func (m *mailbox) deliver(e *sd.Event) bool {
	// The subscriber may sort or keep what it gets.
	own := sd.Event{Instances: slices.Clone(e.Instances), Err: e.Err}
	select {
	case m.ch <- own:
		return true
	case <-m.stop:
		return false
	}
}

func (m *mailbox) put(e sd.Event) {
	m.mu.Lock()
	m.latest = &e
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mailbox) run() {
	defer close(m.gone)
	for {
		select {
		case <-m.wake:
		case <-m.stop:
			return
		}
		m.mu.Lock()
		e := m.latest
		m.latest = nil
		m.mu.Unlock()
		if e != nil && !m.deliver(e) {
			return
		}
	}
}

// close ends the deliveries and waits until they have ended.
func (m *mailbox) close() {
	m.once.Do(func() { close(m.stop) })
	<-m.gone
}
