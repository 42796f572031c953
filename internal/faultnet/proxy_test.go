package faultnet

import (
	"bufio"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for something that must happen. A loaded machine may need that
// long.
const patience = 20 * time.Second

// silence is how long a test waits before it takes it that nothing arrives.
const silence = 150 * time.Millisecond

// echo answers every line with the same line.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

func newProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	p, err := New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{Conn: c, t: t, r: bufio.NewReader(c)}
}

func (c *client) send(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		c.t.Fatalf("send %q: %v", line, err)
	}
}

func (c *client) receive(want string) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	got, err := c.r.ReadString('\n')
	if err != nil || got != want+"\n" {
		c.t.Fatalf("received %q, %v; want %q", got, err, want)
	}
}

func (c *client) receiveNothing() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(silence))
	if b, err := c.r.ReadByte(); !isTimeout(err) {
		c.t.Fatalf("read %q, %v; want silence", b, err)
	}
}

// receiveEnd waits for the end of the connection and returns the error of the read.
func (c *client) receiveEnd() error {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	_, err := c.r.ReadByte()
	if err == nil || isTimeout(err) {
		c.t.Fatalf("connection still open: %v", err)
	}
	return err
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestProxyPassesBytesAndCounts(t *testing.T) {
	p := newProxy(t, echo(t))
	c := dial(t, p.Addr())
	c.send("hello")
	c.receive("hello")
	s := p.Stats()
	if s.Accepted != 1 || s.Open != 1 || s.ToServer != 6 || s.ToClient != 6 {
		t.Fatalf("stats %+v; want one open connection and 6 bytes each way", s)
	}
	// A half-close is passed on as a half-close: the echo server ends, and then the client's side
	// does.
	c.Conn.(*net.TCPConn).CloseWrite()
	if err := c.receiveEnd(); err != io.EOF {
		t.Fatalf("end: %v, want EOF", err)
	}
}

func TestCutAndHeal(t *testing.T) {
	p := newProxy(t, echo(t))
	c := dial(t, p.Addr())
	c.send("a")
	c.receive("a")
	p.Cut()
	c.receiveEnd()
	if c, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			c.Close()
		}
		t.Fatalf("dial while cut: %v, want connection refused", err)
	}
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	c = dial(t, p.Addr())
	c.send("b")
	c.receive("b")
}

func TestRefuseLeavesConnections(t *testing.T) {
	p := newProxy(t, echo(t))
	c := dial(t, p.Addr())
	c.send("a")
	c.receive("a")
	p.Refuse()
	c.send("b")
	c.receive("b")
	if c, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			c.Close()
		}
		t.Fatalf("dial: %v, want connection refused", err)
	}
}

func TestBlackHoleHoldsOldAndNewConnections(t *testing.T) {
	p := newProxy(t, echo(t))
	old := dial(t, p.Addr())
	old.send("a")
	old.receive("a")
	p.BlackHole()
	old.send("b")
	young := dial(t, p.Addr())
	young.send("c")
	old.receiveNothing()
	young.receiveNothing()
	if got := p.Stats().ToServer; got != 2 {
		t.Fatalf("%d bytes reached the server, want the 2 from before", got)
	}
	p.Heal()
	old.receive("b")
	young.receive("c")
}

func TestStrandHoldsOldConnectionsOnly(t *testing.T) {
	p := newProxy(t, echo(t))
	old := dial(t, p.Addr())
	old.send("a")
	old.receive("a")
	p.Strand()
	old.send("b")
	young := dial(t, p.Addr())
	young.send("c")
	young.receive("c")
	old.receiveNothing()
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	old.receive("b")
}

func TestBlackHoleOneDirection(t *testing.T) {
	p := newProxy(t, echo(t))
	c := dial(t, p.Addr())
	p.BlackHole(ToClient)
	c.send("done")
	c.receiveNothing()
	if got := p.Stats(); got.ToServer != 5 || got.ToClient != 0 {
		t.Fatalf("stats %+v; want the request delivered and the answer held", got)
	}
	p.Heal()
	c.receive("done")
}

func TestDelay(t *testing.T) {
	const delay = 100 * time.Millisecond
	p := newProxy(t, echo(t))
	c := dial(t, p.Addr())
	c.send("warm")
	c.receive("warm")
	p.Delay(delay)
	start := time.Now()
	c.send("x")
	c.receive("x")
	if took := time.Since(start); took < 2*delay {
		t.Fatalf("round trip took %v, want at least %v", took, 2*delay)
	}
	p.Delay(0, ToClient)
	start = time.Now()
	c.send("y")
	c.receive("y")
	if took := time.Since(start); took < delay {
		t.Fatalf("round trip took %v, want at least %v", took, delay)
	}
	// When a long delay ends, the bytes that it held go out.
	p.Delay(time.Hour, ToServer)
	c.send("z")
	c.receiveNothing()
	p.Heal()
	c.receive("z")
}

func TestThrottle(t *testing.T) {
	p := newProxy(t, echo(t))
	c := dial(t, p.Addr())
	p.Throttle(10_000, ToServer)
	line := strings.Repeat("x", 1999)
	start := time.Now()
	c.send(line)
	c.receive(line)
	if took := time.Since(start); took < 180*time.Millisecond {
		t.Fatalf("2000 bytes at 10000 per second took %v", took)
	}
}

func TestReset(t *testing.T) {
	p := newProxy(t, echo(t))
	c := dial(t, p.Addr())
	c.send("a")
	c.receive("a")
	p.Reset()
	if err := c.receiveEnd(); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("end: %v, want a reset", err)
	}
	c = dial(t, p.Addr())
	c.send("b")
	c.receive("b")
}

func TestTargetAbsent(t *testing.T) {
	port, err := HoldPort()
	if err != nil {
		t.Fatal(err)
	}
	defer port.Release()
	p := newProxy(t, port.Addr())
	c, err := net.Dial("tcp", p.Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return // the reset was faster than the dial
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	(&client{Conn: c, t: t, r: bufio.NewReader(c)}).receiveEnd()
}

// Several goroutines switch faults at random while connections come and go. That must neither race
// nor leak.
func TestCloseLeavesNothing(t *testing.T) {
	target := echo(t)
	before := runtime.NumGoroutine()
	for range 20 {
		p, err := New(target)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 5 {
					c, err := net.Dial("tcp", p.Addr())
					if err != nil {
						continue
					}
					io.WriteString(c, "hi\n")
					c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
					io.ReadAll(c)
					c.Close()
				}
			})
		}
		faults := []func(){
			p.Cut, p.Refuse, p.Reset, p.CloseConns, func() { p.Heal() }, func() { p.BlackHole() },
			func() { p.Delay(time.Millisecond) }, func() { p.Throttle(1000) }, func() { p.Stats() },
		}
		for _, f := range faults {
			wg.Go(f)
		}
		p.BlackHole()
		if c, err := net.Dial("tcp", p.Addr()); err == nil {
			defer c.Close() // still open when the proxy closes
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		p.Heal()
		p.Close()
		if c, err := net.Dial("tcp", p.Addr()); err == nil {
			c.Close()
			t.Fatal("a closed proxy still accepts")
		}
	}
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf(
				"%d goroutines before, %d after:\n%s",
				before,
				runtime.NumGoroutine(),
				buf[:runtime.Stack(buf, true)],
			)
		}
		runtime.Gosched()
	}
}

func TestDetachedHandle(t *testing.T) {
	p := NewDetached(echo(t))
	defer p.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, l.Addr().String())
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p.Handle(s)
	c.send("a")
	c.receive("a")
	p.Cut()
	c.receiveEnd()
	late := dial(t, l.Addr().String())
	if s, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	p.Handle(s)
	late.receiveEnd()
}
