package xds_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	api "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/xds"
)

// planeEnv makes the test's program a control plane; endpointsEnv names the etcd behind it.
const (
	planeEnv     = "FAIRLEAD_TEST_XDS_PLANE"
	endpointsEnv = "FAIRLEAD_TEST_XDS_ENDPOINTS"
)

func TestMain(m *testing.M) {
	if os.Getenv(planeEnv) != "" {
		if err := runPlane(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	etcdtest.Main(m)
}

// runPlane serves until standard input ends. It prints its address and its process id.
func runPlane() error {
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(os.Getenv(endpointsEnv), ",")})
	if err != nil {
		return err
	}
	defer client.Close()
	d := discovery.NewDirectory(client)
	defer d.Close()
	server, err := xds.New(d)
	if err != nil {
		return err
	}
	defer server.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	g := grpc.NewServer(xds.ServerOptions()...)
	server.Register(g)
	go func() { _ = g.Serve(l) }()
	defer g.Stop()
	fmt.Println(l.Addr(), os.Getpid())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// resident returns the memory of a process in bytes.
func resident(b *testing.B, pid string) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages * os.Getpagesize())
}

// worked returns the processor time of a process.
func worked(b *testing.B, pid string) time.Duration {
	b.Helper()
	tasks, err := os.ReadDir("/proc/" + pid + "/task")
	if err != nil {
		b.Fatal(err)
	}
	sum := time.Duration(0)
	for _, task := range tasks {
		// A thread that has ended meanwhile has no file; Go keeps its threads.
		text, err := os.ReadFile("/proc/" + pid + "/task/" + task.Name() + "/schedstat")
		if ns, perr := strconv.ParseInt(strings.SplitN(string(text), " ", 2)[0], 10, 64); err == nil && perr == nil {
			sum += time.Duration(ns)
		}
	}
	return sum
}

const services, instances, streams, follows = 1000, 10, 1000, 10 // of BenchmarkChange

// BenchmarkChange has 1,000 services of 10 instances, and 1,000 clients of differences that follow
// 10 services each. Either the services of two clients differ, so that 10 clients receive a
// change, or all clients follow the same ones. One operation is one change of an instance. It
// measures the time from etcd's answer until the last client has the change and until each has it,
// the control plane's processor time for a change, and what each client receives.
//
//	go test -run '^$' -bench Change -benchtime 1000x .
func BenchmarkChange(b *testing.B) {
	b.Run("of-10-clients", func(b *testing.B) {
		change(b, follows, func(stream int) int { return stream }, func(n int) int { return n * 7 % services })
	})
	b.Run("of-all-clients", func(b *testing.B) {
		change(b, streams, func(int) int { return 0 }, func(n int) int { return n % follows })
	})
}

// change measures changes that each reach as many clients. A stream follows services from first
// on, and operation n changes the service that of returns.
func change(b *testing.B, clients int, first, of func(int) int) {
	c := etcdtest.Start(b, etcdtest.Options{Members: 1})
	client := clienttest.Dial(b, c.Endpoints()...)
	record := func(service, id, weight int) (string, string) {
		in := &discovery.Instance{
			Service: fmt.Sprintf("s%d", service), ID: fmt.Sprint(id), Zone: "east", Weight: weight,
			Addresses: []string{fmt.Sprintf("10.%d.%d.%d:80", service/250, service%250, id)},
		}
		text, err := json.Marshal(in)
		if err != nil {
			b.Fatal(err)
		}
		return discovery.JSON{}.Key(in), string(text)
	}
	for s := range services {
		var ops []clientv3.Op
		for i := range instances {
			ops = append(ops, clientv3.OpPut(record(s, i, 10)))
		}
		if _, err := client.Txn(within(b)).Then(ops...).Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.Setenv(endpointsEnv, strings.Join(c.Endpoints(), ","))
	at, pid, _ := strings.Cut(clienttest.StartProcess(b, planeEnv).Addr, " ")

	type arrival struct {
		names []string
		size  int
		at    time.Time
	}
	arrivals := make(chan arrival, 4*streams*follows)
	var readers sync.WaitGroup
	ctx, end := context.WithCancel(context.Background())
	b.Cleanup(func() { end(); readers.Wait() })
	open := func(first int) {
		stream, err := api.NewAggregatedDiscoveryServiceClient(connect(b, at)).DeltaAggregatedResources(ctx)
		if err != nil {
			b.Fatal(err)
		}
		q := &api.DeltaDiscoveryRequest{Node: &core.Node{Id: "x"}, TypeUrl: resource.EndpointType}
		for i := range follows {
			q.ResourceNamesSubscribe = append(q.ResourceNamesSubscribe, fmt.Sprintf("s%d", (first+i)%services))
		}
		if err := stream.Send(q); err != nil {
			b.Fatal(err)
		}
		readers.Go(func() {
			for {
				a, err := stream.Recv()
				if err != nil {
					return
				}
				got := arrival{size: proto.Size(a), at: time.Now()}
				for _, r := range a.Resources {
					got.names = append(got.names, r.Name)
				}
				if stream.Send(&api.DeltaDiscoveryRequest{TypeUrl: a.TypeUrl, ResponseNonce: a.Nonce}) != nil {
					return
				}
				arrivals <- got
			}
		})
	}
	var times []time.Time // of what take took last
	take := func(n int) (last time.Time, size int) {
		times = times[:0]
		for got := 0; got < n; {
			a := clienttest.Receive(b, "an answer", arrivals)
			got, last, size = got+len(a.names), a.at, size+a.size
			times = append(times, a.at)
		}
		return last, size
	}
	for s := 0; s < services; s += follows { // a few clients follow all services
		open(s)
	}
	take(services)
	before := resident(b, pid)
	for s := range streams {
		open(first(s))
	}
	take(streams * follows)
	each := (resident(b, pid) - before) / streams

	latencies, size, start := make([]float64, 0, b.N), 0, worked(b, pid)
	var all []float64 // of each client
	b.ResetTimer()
	for n := range b.N {
		key, value := record(of(n), n%instances, 11+n)
		if _, err := client.Put(within(b), key, value); err != nil {
			b.Fatal(err)
		}
		committed := time.Now()
		last, sent := take(clients + 1)
		latencies, size = append(latencies, float64(last.Sub(committed))/float64(time.Millisecond)), size+sent
		for _, at := range times {
			all = append(all, float64(at.Sub(committed))/float64(time.Millisecond))
		}
	}
	b.StopTimer()
	slices.Sort(latencies)
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2], "ms-each-p50")
	b.ReportMetric(all[len(all)*99/100], "ms-each-p99")
	b.ReportMetric(latencies[len(latencies)/2], "ms-p50")
	b.ReportMetric(latencies[len(latencies)*99/100], "ms-p99")
	b.ReportMetric(float64(size)/float64(b.N*(clients+1)), "bytes/client")
	b.ReportMetric(float64(worked(b, pid)-start)/float64(time.Millisecond)/float64(b.N), "cpu-ms")
	b.ReportMetric(each/1024, "KiB-held/client")
}
