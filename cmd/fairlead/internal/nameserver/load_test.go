package nameserver

import (
	"context"
	"net"
	"runtime"
	"testing"

	"github.com/miekg/dns"
)

// BenchmarkUDP measures answers over UDP to clients in the same process, so it includes the
// clients' work: eight clients for each processor, each of which sends a query when the one before
// is answered.
func BenchmarkUDP(b *testing.B) {
	s := newServer(b, newFake(orders()...), Options{})
	if err := s.Listen("127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ctx) }()
	defer func() { cancel(); <-done }()
	packet, err := query("orders", dns.TypeA).Pack()
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(8)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("udp", s.Addr())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buf := make([]byte, maxUDP)
		for pb.Next() {
			if _, err := c.Write(packet); err != nil {
				b.Error(err)
				return
			}
			if _, err := c.Read(buf); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "processors")
}
