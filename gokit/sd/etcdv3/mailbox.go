package etcdv3

import (
	"slices"
	"sync"

	"github.com/go-kit/kit/sd"
)

// mailbox delivers to one subscriber, who may be slow: it keeps the latest event only. One
// goroutine each.
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
	m := &mailbox{ch: ch, wake: make(chan struct{}, 1), stop: make(chan struct{}), gone: make(chan struct{})}
	go m.run()
	return m
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
		if e == nil {
			continue
		}
		// The subscriber may sort or keep what it gets.
		own := sd.Event{Instances: slices.Clone(e.Instances), Err: e.Err}
		select {
		case m.ch <- own:
		case <-m.stop:
			return
		}
	}
}

// close ends the deliveries and waits for that.
func (m *mailbox) close() {
	m.once.Do(func() { close(m.stop) })
	<-m.gone
}
