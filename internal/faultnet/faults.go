package faultnet

import (
	"net"
	"time"
)

// Cut closes every connection in the orderly way (both peers read EOF), and refuses new ones until
// Heal.
func (p *Proxy) Cut() {
	p.change(func(r *rules) { r.refuse = true })
	p.CloseConns()
}

// Refuse refuses new connections until Heal. Those that exist go on.
func (p *Proxy) Refuse() {
	p.change(func(r *rules) { r.refuse = true })
}

// BlackHole lets nothing through until Heal, in the directions given (both if none): connections
// stay open and new ones are accepted, but no byte and no close arrives. Held bytes arrive after
// Heal.
//
// With ToClient alone the caller has the hardest case: the server executes a request, and its
// answer never arrives.
func (p *Proxy) BlackHole(dirs ...Direction) {
	p.change(func(r *rules) { r.held |= union(dirs) })
}

// Delay makes every byte take d longer in the directions given (both if none), on existing
// connections too. Zero ends the delay.
func (p *Proxy) Delay(d time.Duration, dirs ...Direction) {
	p.change(func(r *rules) { each(dirs, func(i int) { r.delay[i] = d }) })
}

// Throttle limits each connection to bytesPerSecond in the directions given (both if none). Zero
// ends the limit.
func (p *Proxy) Throttle(bytesPerSecond int, dirs ...Direction) {
	p.change(func(r *rules) { each(dirs, func(i int) { r.rate[i] = bytesPerSecond }) })
}

// Heal ends all faults: held bytes are delivered, and connections are accepted again. Closed
// connections stay closed. It returns an error only if the proxy cannot listen again, because
// another process listens on its port.
func (p *Proxy) Heal() error {
	p.strand(false)
	p.change(func(r *rules) { *r = rules{} })
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listenLocked()
}

// Strand turns the connections of this moment into black holes, as a load balancer does that has
// forgotten them. New ones work. Heal delivers the held bytes.
func (p *Proxy) Strand() { p.strand(true) }

func (p *Proxy) strand(yes bool) {
	p.mu.Lock()
	for c := range p.conns {
		c.stranded.Store(yes)
	}
	p.mu.Unlock()
	p.change(func(*rules) {})
}

// Reset ends the connections of this moment with a TCP reset on both sides. New ones are accepted
// as before.
func (p *Proxy) Reset() {
	p.endConns(reset)
}

// CloseConns closes the connections of this moment in the orderly way. New ones are accepted as
// before.
func (p *Proxy) CloseConns() {
	p.endConns(nil)
}

func (p *Proxy) endConns(how func(net.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.abort(how)
	}
}

// change replaces the rules and wakes every connection that waits under the old ones.
func (p *Proxy) change(f func(*rules)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := *p.rules
	f(&next)
	next.changed = make(chan struct{})
	old := p.rules
	p.rules = &next
	if next.refuse {
		p.unlistenLocked()
	}
	close(old.changed)
}

func union(dirs []Direction) Direction {
	if len(dirs) == 0 {
		return Both
	}
	var all Direction
	for _, d := range dirs {
		all |= d
	}
	return all
}

func each(dirs []Direction, f func(index int)) {
	all := union(dirs)
	for _, d := range []Direction{ToServer, ToClient} {
		if all&d != 0 {
			f(d.index())
		}
	}
}
