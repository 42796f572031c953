package etcdtest

import (
	"errors"
	"net"
	"sync"

	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// peerHub stands between the members of a cluster.
//
// A member cannot advertise a different address to each peer: its id is computed from the one that
// it advertises. So each member has one listener, its front, and the hub has to find out which peer
// has opened a connection. HTTP headers show that for most connections only; the operating system
// knows it for every one (owns). Behind a front there is one detached proxy per peer, and so one
// per ordered pair of members.
type peerHub struct {
	ports     []*faultnet.Port
	listeners []net.Listener
	links     [][]*faultnet.Proxy // [from][to]; nil from a member to itself
	wg        sync.WaitGroup      // accept loops
}

func newPeerHub() *peerHub { return &peerHub{} }

// front returns the address that a member advertises to its peers. The hub accepts connections
// there once open was called.
func (h *peerHub) front(m *Member) (addr string, err error) {
	p, err := faultnet.HoldPort()
	if err != nil {
		return "", err
	}
	h.ports = append(h.ports, p)
	return p.Addr(), nil
}

func (h *peerHub) open(members []*Member) error {
	for range members {
		var row []*faultnet.Proxy
		for _, to := range members {
			row = append(row, faultnet.NewDetached(to.peerPort.Addr()))
		}
		h.links = append(h.links, row)
	}
	for to, port := range h.ports {
		l, err := port.Listen()
		if err != nil {
			return err
		}
		h.listeners = append(h.listeners, l)
		h.wg.Go(func() { h.accept(l, members, to) })
	}
	return nil
}

func (h *peerHub) accept(l net.Listener, members []*Member, to int) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		from := -1
		for i, m := range members {
			if owns(m.PID(), conn) {
				from = i
			}
		}
		if from < 0 {
			conn.Close() // its process is not of this cluster, or has ended
			continue
		}
		h.links[from][to].Handle(conn)
	}
}

func (h *peerHub) close() {
	for _, l := range h.listeners {
		l.Close()
	}
	h.wg.Wait()
	for _, row := range h.links {
		for _, p := range row {
			p.Close()
		}
	}
	for _, p := range h.ports {
		p.Release()
	}
}

// eachLink calls f for every link from or to the member.
func (h *peerHub) eachLink(member int, f func(*faultnet.Proxy)) {
	for i := range h.links {
		if i != member {
			f(h.links[i][member])
			f(h.links[member][i])
		}
	}
}

// errNotPeerProxied is the error of faults between members that talk to each other directly.
var errNotPeerProxied = errors.New("etcdtest: faults between members need Options.PeerProxied")

// PartitionFromPeers cuts the member off from all its peers, as a broken network does: packets get
// lost, connections stay open and nothing arrives. Clients still reach the member. It fails only if
// the cluster is not PeerProxied.
func (m *Member) PartitionFromPeers() error {
	if m.c.hub == nil {
		return errNotPeerProxied
	}
	m.c.hub.eachLink(m.index, func(p *faultnet.Proxy) { p.BlackHole() })
	return nil
}

// HealPeers ends all faults between the member and its peers, also those set through PeerLink.
func (m *Member) HealPeers() error {
	if m.c.hub == nil {
		return errNotPeerProxied
	}
	m.c.hub.eachLink(m.index, func(p *faultnet.Proxy) { p.Heal() })
	return nil
}

// PeerLink is the proxy of the connections that this member opens to another one. Tests use it for
// faults other than a partition. It is nil if the cluster is not PeerProxied.
func (m *Member) PeerLink(to *Member) *faultnet.Proxy {
	if m.c.hub == nil {
		return nil
	}
	return m.c.hub.links[m.index][to.index]
}
