package clientv3_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report measures f and reports the processor time per call beside Go's own
// figures.
func report(b *testing.B, f func() error) {
	b.ReportAllocs()
	if err := f(); err != nil { // so that the connection is made
		b.Fatal(err)
	}
	before := cpu(b)
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkGet compares one read through the client with the same call on the bare
// generated stub. The bar: at most 5 allocations more.
func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1, 3} {
		cl := etcdtest.Start(b, etcdtest.Options{Members: n})
		c := dial(b, clientv3.Config{Endpoints: cl.Endpoints()})
		if _, err := c.Put(context.Background(), "key", "value"); err != nil {
			b.Fatal(err)
		}
		raw, err := grpc.NewClient(cl.Endpoints()[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer raw.Close()
		stub := pb.NewKVClient(raw)
		name := map[int]string{1: "members=1", 3: "members=3"}[n]
		withTimeout, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		for ctxName, ctx := range map[string]context.Context{
			"background": context.Background(), "deadline": withTimeout,
		} {
			b.Run(name+"/"+ctxName+"/stub", func(b *testing.B) {
				report(b, func() error { _, err := stub.Range(ctx, &pb.RangeRequest{Key: []byte("key")}); return err })
			})
			b.Run(name+"/"+ctxName+"/client", func(b *testing.B) {
				report(b, func() error { _, err := c.Get(ctx, "key"); return err })
			})
		}
	}
}
