package clientv3

import (
	"context"
	"net/netip"
	"slices"
	"sort"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/retry"
	"github.com/fairlead-go/fairlead/internal/transport"
)

// names finds out whether the addresses of a DNS name are members of their own. Usually they
// are ways to the same one, or to whichever a load balancer chooses; but a name may stand
// for all members of a cluster. So each address is asked once for the id of the member
// behind it, and if these differ each member takes the place of the name.
//
// Addresses become known when our dialer looks a name up; a user's dialer gets the name.
// There is one goroutine while something is being asked.
type names struct {
	c *Client

	mu        sync.Mutex
	endpoints []endpoint.Endpoint // guarded by mu; as the user wants them
	known     map[string]*named   // guarded by mu; by host and port
	asking    bool                // guarded by mu
}

// named is what is known of one name.
type named struct {
	found   []netip.Addr        // sorted
	at      time.Time           // when it was last looked at
	asked   bool                // and all have answered
	members []endpoint.Endpoint // those that the name stands for; empty: it is one itself
}

const (
	// mostMembers is how many members of a name are distinguished at most.
	mostMembers = 8
	// askFor bounds the questions; an address without an answer is not distinguished.
	askFor = 3 * time.Second
	// lookEvery bounds how often a name is looked at again because connections to its
	// members are made.
	lookEvery = time.Second
)

func newNames(c *Client) *names { return &names{c: c, known: make(map[string]*named)} }

// set replaces the endpoints and returns what they stand for, as far as that is known.
func (n *names) set(endpoints []endpoint.Endpoint) []endpoint.Endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endpoints = endpoints
	return n.membersLocked()
}

// membersLocked are the endpoints with the members of names in their place. Callers hold mu.
func (n *names) membersLocked() []endpoint.Endpoint {
	list := make([]endpoint.Endpoint, 0, len(n.endpoints))
	for _, e := range n.endpoints {
		if k := n.known[e.Addr]; k != nil && len(k.members) > 0 {
			list = append(list, k.members...)
		} else {
			list = append(list, e)
		}
	}
	return list
}

// dialled takes what was found when e was dialled, by name or by one of its addresses.
func (n *names) dialled(e endpoint.Endpoint, found []netip.Addr) {
	if e.At == "" && len(found) == 0 {
		return // it could not be looked up
	}
	found = slices.Clone(found)
	n.mu.Lock()
	defer n.mu.Unlock()
	i := 0
	for i < len(n.endpoints) && n.endpoints[i].Addr != e.Addr {
		i++
	}
	if i == len(n.endpoints) || n.asking {
		return
	}
	k := n.known[e.Addr]
	if k == nil {
		k = &named{}
		n.known[e.Addr] = k
	}
	if e = n.endpoints[i]; time.Since(k.at) >= lookEvery || len(found) > 0 && !k.same(found) {
		k.at = time.Now()
		n.asking = n.c.group.Go(func(ctx context.Context) { n.look(ctx, e, k, found) })
	}
}

// same reports that nothing has changed.
func (k *named) same(found []netip.Addr) bool {
	sort.Slice(found, func(i, j int) bool { return found[i].Less(found[j]) }) // slices' would add 7 KB
	return k.asked && slices.Equal(k.found, found)
}

// look finds out what e's name stands for now.
func (n *names) look(ctx context.Context, e endpoint.Endpoint, k *named, found []netip.Addr) {
	lctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if len(found) == 0 {
		found, _ = transport.LookUp(lctx, e.Name()) // without a name all stays as it is
	}
	n.mu.Lock()
	same := len(found) == 0 || k.same(found)
	if same {
		n.asking = false
	} else {
		k.found = found
	}
	n.mu.Unlock()
	if !same {
		n.ask(lctx, e, k, found[:min(len(found), mostMembers)])
	}
}

// ask finds out which members the addresses stand for and hands these to the client.
func (n *names) ask(ctx context.Context, e endpoint.Endpoint, k *named, addresses []netip.Addr) {
	ids := make([]uint64, len(addresses)) // 0: no answer
	if len(addresses) > 1 {
		var wg sync.WaitGroup
		for i, a := range addresses {
			wg.Go(func() { ids[i] = n.c.idOf(ctx, e.AtAddress(a)) })
		}
		wg.Wait()
	}
	n.c.mu.Lock() // before n.mu, as in UpdateEndpoints
	defer n.c.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asking = false
	if n.c.closed {
		return
	}
	var list []endpoint.Endpoint
	for i, a := range addresses {
		// An address that does not answer now stays what it was.
		if at := e.AtAddress(a); ids[i] != 0 && slices.Index(ids, ids[i]) == i ||
			ids[i] == 0 && slices.Contains(k.members, at) {
			list = append(list, at)
		}
	}
	if len(list) < 2 {
		list = nil
	}
	k.asked = len(addresses) < 2 || !slices.Contains(ids, 0)
	if !slices.Equal(k.members, list) {
		k.members = list
		n.c.link.set.SetEndpoints(n.membersLocked())
	}
}

// idOf asks for the id of the member at one address, over a connection for that alone; 0
// if it does not say.
func (c *Client) idOf(ctx context.Context, e endpoint.Endpoint) uint64 {
	l, err := c.newLink([]endpoint.Endpoint{e}, nil)
	if err != nil {
		return 0
	}
	defer l.close()
	r, err := pb.NewMaintenanceClient(l.conn).Status(retry.WithFailFast(ctx), &pb.StatusRequest{})
	if err != nil {
		return 0
	}
	return r.GetHeader().GetMemberId()
}
