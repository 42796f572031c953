package pick

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
)

var policies = []struct {
	name   string
	policy Policy
}{
	{"RoundRobin", RoundRobin()}, {"Random", Random()}, {"Weighted", Weighted()}, {"P2C", P2C()},
	{"LeastOutstanding", LeastOutstanding()}, {"Hash", Hash()},
}

// thousand are instances in three zones with some variety of weights.
func thousand() []*discovery.Instance { return instances(1000, 7) }

func instances(n, weights int) []*discovery.Instance {
	var list []*discovery.Instance
	for i := range n {
		list = append(list, &discovery.Instance{
			Service: "s", ID: fmt.Sprintf("i-%04d", i), Addresses: []string{fmt.Sprintf("10.0.%d.%d:80", i/250, i%250)},
			Zone: string(rune('a' + i%3)), Weight: 1 + i%weights, Version: fmt.Sprint("v", 1+i%3),
		})
	}
	return list
}

// loaded is a balancer with these instances.
func loaded(t testing.TB, p Policy, list []*discovery.Instance, opts ...Option) *Balancer {
	t.Helper()
	b := New(p, append([]Option{WithSeed(1)}, opts...)...)
	t.Cleanup(b.Close)
	b.Update(list, nil)
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// contexts carry keys, for Hash.
func contexts() []context.Context {
	var list []context.Context
	for i := range 1024 {
		list = append(list, WithKey(context.Background(), fmt.Sprint("key", i)))
	}
	return list
}

func BenchmarkPick(b *testing.B) {
	keys := contexts()
	for _, p := range policies {
		lb := loaded(b, p.policy, thousand(), func(lb *Balancer) { lb.rnd.seeded = false })
		b.Run(p.name+"/1", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, done, err := lb.Pick(keys[i%len(keys)])
				if err != nil {
					b.Fatal(err)
				}
				done.Report(Success)
			}
		})
		b.Run(p.name+"/alone", func(b *testing.B) { // without the report
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, _, err := lb.Pick(keys[i%len(keys)]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(p.name+"/split", func(b *testing.B) {
			split := loaded(
				b,
				p.policy,
				thousand(),
				func(lb *Balancer) { lb.rnd.seeded, lb.split = false, discovery.Split{"v1": 90, "v2": 9, "v3": 1} },
			)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, done, err := split.Pick(keys[i%len(keys)])
				if err != nil {
					b.Fatal(err)
				}
				done.Report(Success)
			}
		})
		b.Run(p.name+"/16", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(max(16/runtime.GOMAXPROCS(0), 1))
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					_, done, err := lb.Pick(keys[i%len(keys)])
					if err != nil {
						b.Error(err)
						return
					}
					done.Report(Success)
				}
			})
		})
	}
}

// A pick with its report, among few and many instances, of calls without and with a kind.
func BenchmarkSizes(b *testing.B) {
	keys := contexts()
	for _, p := range policies {
		for _, n := range []int{2, 20, 1000} {
			for _, kind := range []string{"", "/package.Service/Method"} {
				b.Run(fmt.Sprintf("%s/%d%s", p.name, n, kind), func(b *testing.B) {
					lb := loaded(b, p.policy, instances(n, 7), func(lb *Balancer) { lb.rnd.seeded = false })
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						_, done, err := lb.Pick(keys[i%len(keys)])
						if err != nil {
							b.Fatal(err)
						}
						if kind != "" {
							done = done.Kind(kind)
						}
						done.Report(Success)
					}
				})
			}
		}
	}
}

// The cost of a change is that of making a set.
func BenchmarkChange(b *testing.B) {
	for _, p := range policies {
		lb := loaded(b, p.policy, thousand())
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
				lb.remake()
			}
		})
	}
}

func TestNoAllocation(t *testing.T) {
	keys := contexts()
	for _, p := range policies {
		for name, opts := range map[string][]Option{
			"": nil, "zone": {WithZone("a"), WithSpillOver(2)},
			"split": {func(b *Balancer) { b.split = discovery.Split{"v1": 90, "v2": 9, "v9": 1} }},
		} {
			lb := loaded(t, p.policy, thousand(), opts...)
			i := 0
			if n := testing.AllocsPerRun(1000, func() {
				i++
				_, done, err := lb.Pick(keys[i%len(keys)])
				if err != nil {
					t.Fatal(err)
				}
				done.Answered(Success)
				done.Release()
			}); n != 0 {
				t.Errorf("%s %s allocates %v times", p.name, name, n)
			}
		}
	}
}
