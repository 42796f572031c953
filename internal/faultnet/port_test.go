package faultnet

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// A held port refuses connections without a listener and accepts them with one. Between two
// listeners nobody else gets it.
func TestPortIsHeldBetweenListeners(t *testing.T) {
	p, err := HoldPort()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	for round := range 3 {
		if c, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			if err == nil {
				c.Close()
			}
			t.Fatalf("round %d: dial with nobody listening: %v, want connection refused", round, err)
		}
		l, err := p.Listen()
		if err != nil {
			t.Fatalf("round %d: listen: %v", round, err)
		}
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatalf("round %d: dial: %v", round, err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatalf("round %d: accept: %v", round, err)
		}
		c.Close()
		s.Close()
		l.Close()
	}
}

func TestPortsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		p, err := HoldPort()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Release()
		if seen[p.Addr()] {
			t.Fatalf("%s handed out twice", p.Addr())
		}
		seen[p.Addr()] = true
	}
}
