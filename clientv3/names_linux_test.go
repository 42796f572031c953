package clientv3_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// These tests need addresses of the loopback network besides 127.0.0.1, which Linux has.

// nameServer answers for one name, "members.test", in place of the machine's own servers.
type nameServer struct {
	mu        sync.Mutex
	addresses []netip.Addr // guarded by mu; none: there is no such name
	asked     atomic.Int64
}

const testName = "members.test"

// startNames takes the place of the process's resolver until the test ends. Tests that call
// it are not parallel.
func startNames(t *testing.T) *nameServer {
	s := &nameServer{}
	old := net.DefaultResolver
	var serving sync.WaitGroup
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		serving.Go(func() { s.serve(ours) })
		return theirs, nil
	}}
	t.Cleanup(func() {
		net.DefaultResolver = old
		serving.Wait()
	})
	return s
}

func (s *nameServer) set(addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses = nil
	for _, a := range addresses {
		s.addresses = append(s.addresses, netip.MustParseAddr(a))
	}
}

// serve answers questions as a name server does over TCP (RFC 1035, section 4).
func (s *nameServer) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		s.asked.Add(1)
		end := 12
		var name []string
		for q[end] != 0 {
			name = append(name, string(q[end+1:end+1+int(q[end])]))
			end += 1 + int(q[end])
		}
		kind := binary.BigEndian.Uint16(q[end+1:])
		s.mu.Lock()
		list := s.addresses
		s.mu.Unlock()
		known := strings.Join(name, ".") == testName && len(list) > 0
		if !known || kind != 1 {
			list = nil
		}
		a := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end+5]...)
		if !known {
			a[3] |= 3 // no such name
		}
		binary.BigEndian.PutUint16(a[6:], uint16(len(list)))
		for _, ip := range list {
			a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
			a = append(a, ip.AsSlice()...)
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}

// fronts serve the given targets, each at an address of its own and all at one port.
func fronts(t *testing.T, at map[string]string) (port string, by map[string]*faultnet.Proxy) {
	t.Helper()
	var listeners map[string]net.Listener
	for try := 0; ; try++ { // until a port is free at all of them
		listeners, port = map[string]net.Listener{}, "0"
		var err error
		for addr := range at {
			var l net.Listener
			if l, err = net.Listen("tcp", net.JoinHostPort(addr, port)); err != nil {
				break
			}
			listeners[addr] = l
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
		if err == nil {
			break
		}
		for _, l := range listeners {
			l.Close()
		}
		if try == 20 {
			t.Fatal(err)
		}
	}
	by = make(map[string]*faultnet.Proxy)
	for addr, l := range listeners {
		p := faultnet.NewDetached(at[addr])
		by[addr] = p
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { p.Handle(c) })
			}
		})
		t.Cleanup(func() {
			l.Close()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			serving.Wait()
		})
	}
	return port, by
}

// reads makes one call that a connection lost meanwhile does not fail.
func reads(t *testing.T, c *clientv3.Client) {
	t.Helper()
	if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
		t.Fatal(err)
	}
}

// TestNameOfAllMembers: if the addresses of a name are different members, each becomes a member of
// the client. They follow the name when it changes, and stay when it disappears.
func TestNameOfAllMembers(t *testing.T) {
	s := startNames(t)
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	eps := cl.Endpoints()
	port, by := fronts(t,
		map[string]string{"127.0.0.2": eps[0], "127.0.0.3": eps[1], "127.0.0.4": eps[2], "127.0.0.5": eps[2]})
	s.set("127.0.0.2", "127.0.0.3", "127.0.0.4")
	c := dial(t, clientv3.Config{Endpoints: []string{"http://" + testName + ":" + port}})
	works(t, c)
	at := func(hosts ...string) (list []string) {
		for _, h := range hosts {
			list = append(list, "http://127.0.0."+h+":"+port)
		}
		return list
	}
	await(t, "three members", func() bool { return slices.Equal(healthyAt(c), at("2", "3", "4")) })
	watch := c.Watch(ctxFor(t, 2*long), "k")
	works(t, c)
	s.set("127.0.0.2", "127.0.0.3", "127.0.0.5") // the third one moves
	by["127.0.0.4"].Refuse()
	by["127.0.0.4"].Reset()
	await(t, "the name's new address is used", func() bool { return slices.Equal(healthyAt(c), at("2", "3", "5")) })
	s.set()
	for _, p := range by {
		p.Reset()
	}
	reads(t, c)
	await(t, "all are back without the name", func() bool { return slices.Equal(healthyAt(c), at("2", "3", "5")) })
	if _, err := c.Put(ctxFor(t, long), "k", "v"); err != nil {
		t.Fatal(err)
	}
	next(t, watch)
	if got := c.Endpoints(); len(got) != 1 || !strings.Contains(got[0], testName) {
		t.Errorf("the endpoints are %q", got)
	}
	if r, err := c.Status(ctxFor(t, long), at("3")[0]); err != nil || r.Header.MemberId == 0 {
		t.Errorf("status of one of them: %v, %v", r, err)
	}
}

// TestNameOfOneMember: if all addresses of a name lead to the same member, it stays one. If an
// address is silent, the next connection uses another. One that does not connect costs a moment.
func TestNameOfOneMember(t *testing.T) {
	s := startNames(t)
	ep := etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]
	port, by := fronts(t, map[string]string{"127.0.0.2": ep, "127.0.0.3": ep, "127.0.0.4": ep})
	s.set("127.0.0.2", "127.0.0.3", "127.0.0.4")
	c := dial(t, clientv3.Config{Endpoints: []string{testName + ":" + port}})
	used := func() string {
		for a, p := range by {
			if p.Stats().Open > 0 {
				return a
			}
		}
		return ""
	}
	works(t, c)
	await(t, "all addresses were asked who is there", func() bool {
		for _, p := range by {
			if p.Stats().Accepted == 0 {
				return false
			}
		}
		return used() != ""
	})
	for range 3 {
		works(t, c)
		if n := len(c.MemberStates()); n != 1 {
			t.Fatalf("%d members", n)
		}
	}
	silent := used()
	by[silent].BlackHole()
	began := time.Now()
	if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is silent, another is used after %v", silent, time.Since(began))
	if took := time.Since(began); took > 3*time.Second+slack {
		t.Errorf("it took %v", took)
	}
	s.set() // the name is gone: its last addresses are still used
	for a, p := range by {
		if a != silent {
			p.Reset()
		}
	}
	reads(t, c)
}

// TestNameWithAThousandAddresses: eight of them are tried, not more.
func TestNameWithAThousandAddresses(t *testing.T) {
	s := startNames(t)
	ep := etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]
	port, by := fronts(t, map[string]string{"127.0.0.2": ep, "127.9.9.9": ep})
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("127.1.%d.%d", i/250, i%250+1))
	}
	list[5], list[500] = "127.0.0.2", "127.9.9.9"
	s.set(list...)
	c := dial(t, clientv3.Config{Endpoints: []string{testName + ":" + port}})
	for range 3 {
		reads(t, c)
		by["127.0.0.2"].Reset()
	}
	if n := len(c.MemberStates()); n != 1 {
		t.Errorf("%d members", n)
	}
	if n := by["127.9.9.9"].Stats().Accepted; n != 0 {
		t.Errorf("the 501st address was tried %d times", n)
	}
	// Now nobody listens on any of the addresses. They are tried in turn.
	for i := range list {
		list[i] = "127.1.1." + strconv.Itoa(i%250+1)
	}
	s.set(list...)
	by["127.0.0.2"].Refuse()
	by["127.0.0.2"].Reset()
	await(t, "an error that says why", func() bool {
		_, err := c.Get(clientv3.WithFailFast(ctxFor(t, long)), "k")
		return err != nil && strings.Contains(err.Error(), "connection refused")
	})
}

// TestNameWithOwnDialer: a user's dialer gets the name.
func TestNameWithOwnDialer(t *testing.T) {
	s := startNames(t)
	s.set("127.0.0.2", "127.0.0.3")
	ep := etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]
	var dialled sync.Map
	c := dial(t, clientv3.Config{Endpoints: []string{testName + ":1"}, DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			dialled.Store(addr, true)
			return (&net.Dialer{}).DialContext(ctx, "tcp", ep)
		}),
	}})
	works(t, c)
	dialled.Range(func(addr, _ any) bool {
		if addr != testName+":1" {
			t.Errorf("dialled %v", addr)
		}
		return true
	})
	if n := s.asked.Load(); n != 0 {
		t.Errorf("the name was looked up %d times", n)
	}
}
