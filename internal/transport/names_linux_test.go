package transport

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// deaf is an address that answers no attempt to connect: its queue of connections is full.
func deaf(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 2}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), uint16(name.(*syscall.SockaddrInet4).Port))
	for range 10 {
		c, err := net.DialTimeout("tcp", at.String(), 200*time.Millisecond)
		if err != nil {
			return at
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue takes more than ten connections")
	return at
}

// TestAddressesAreDialledSideBySide: an address that does not answer costs a moment, and one that
// refuses costs nothing. If all fail, the error is that of the preferred address.
func TestAddressesAreDialledSideBySide(t *testing.T) {
	silent := deaf(t)
	port := strconv.Itoa(int(silent.Port()))
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.3", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for _, tc := range []struct {
		list []netip.Addr
		wait time.Duration
	}{
		{addrs("127.0.0.3"), 0},
		{addrs("127.0.0.4", "127.0.0.5", "127.0.0.3"), 0},
		{addrs("127.0.0.2", "127.0.0.3"), stagger},
		{addrs("127.0.0.2", "127.0.0.4", "127.0.0.3"), stagger},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		began := time.Now()
		c, err := race(ctx, tc.list, port)
		cancel()
		if err != nil {
			t.Fatalf("%v: %v", tc.list, err)
		}
		if took := time.Since(began); c.RemoteAddr().String() != l.Addr().String() || took < tc.wait ||
			took > tc.wait+time.Second {
			t.Errorf("%v: %v after %v", tc.list, c.RemoteAddr(), took)
		}
		c.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := race(ctx, addrs("127.0.0.4", "127.0.0.5"), port); err == nil || !isRefused(err, "127.0.0.4") {
		t.Errorf("all refuse: %v", err)
	}
	began := time.Now()
	if _, err := race(ctx, addrs("127.0.0.2"), port); err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("none answers: %v after %v", err, time.Since(began))
	}
}

func isRefused(err error, host string) bool {
	op, ok := err.(*net.OpError)
	return ok && op.Addr.(*net.TCPAddr).IP.String() == host
}
