package grpcdisc_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// setSplit changes the split as an operator does.
func setSplit(t testing.TB, c *clientv3.Client, words string) {
	t.Helper()
	err := discovery.ChangeControl(within(t), c, t.Name(), func(ctl *discovery.Control) (err error) {
		ctl.Split, err = discovery.ParseSplit(strings.Fields(words)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Delete(context.Background(), "/fairlead/control/"+t.Name()) })
}

func version(v string) func(*discovery.Instance) {
	return func(in *discovery.Instance) { in.Version = v }
}

// An operator changes the split while calls run, and takes a version away in the middle: no call
// fails, and later calls follow the split. With a subset each client is connected to some of each
// version.
func TestSplitWhileCallsRun(t *testing.T) {
	for name, config := range map[string]string{"all": "", "subset": `"subset":1`} {
		t.Run(name, func(t *testing.T) {
			c := clienttest.Shared(t)
			r := registrar(t, c)
			of := make(map[string]string) // versions by address
			for i := range 3 {
				s := serve(t)
				of[s.addr] = "v1"
				register(t, r, fmt.Sprint(i), s, version("v1"))
			}
			canary := serve(t)
			of[canary.addr] = "v2"
			last := register(t, r, "canary", canary, version("v2"))
			setSplit(t, c, "v1=95 v2=5")

			reported := make(chan string, 100)
			inWords := func(list []pick.SubsetStatus) string {
				var words []string
				for _, s := range list {
					words = append(words, fmt.Sprintf("%s=%.0f", s.Filter, s.Share))
				}
				return strings.Join(words, " ")
			}
			hooks := pick.Hooks{Split: func(list []pick.SubsetStatus) { reported <- inWords(list) }}
			builder := grpcdisc.NewBuilder(directory(t, c), grpcdisc.WithPicking(pick.WithHooks(hooks)))
			if list := builder.Split(t.Name()); list != nil {
				t.Errorf("before there is a connection: %+v", list)
			}
			cc, err := grpc.NewClient(
				"etcd:///"+t.Name(),
				grpc.WithResolvers(builder),
				grpc.WithTransportCredentials(
					insecure.NewCredentials(),
				),
				grpc.WithDefaultServiceConfig(lb(grpcdisc.P2C, config)),
			)
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			one := func() (string, error) {
				ctx, cancel := context.WithTimeout(context.Background(), clienttest.Long)
				defer cancel()
				addr, err := call(ctx, cc)
				return of[addr], err
			}
			stop := make(chan struct{})
			var callers sync.WaitGroup
			for range 2 {
				callers.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if _, err := one(); err != nil {
							t.Errorf("a call failed: %v", err)
							return
						}
					}
				})
			}
			shares := func(want float64, split string) {
				t.Helper()
				clienttest.Await(t, "the split "+split, func() bool {
					select {
					case s := <-reported:
						return s == split
					default:
						return false
					}
				})
				if now := inWords(builder.Split(t.Name())); now != split {
					t.Errorf("the builder says %q, not %q", now, split)
				}
				const n = 500
				canaries := 0
				for range n {
					v, err := one()
					if err != nil {
						t.Fatal(err)
					}
					if v == "v2" {
						canaries++
					}
				}
				// five standard deviations
				if margin := 5 * math.Sqrt(n*want*(1-want)); math.Abs(float64(canaries)-n*want) > margin {
					t.Errorf("%s: %d of %d went to v2", split, canaries, n)
				}
			}
			shares(0.05, "v1=95 v2=5")
			setSplit(t, c, "v1=50 v2=50")
			shares(0.5, "v1=50 v2=50")
			if err := last.Drain(within(t), clienttest.Long); err != nil {
				t.Fatal(err)
			}
			shares(0, "v1=100 v2=0")
			register(t, r, "canary", canary, version("v2"))
			shares(0.5, "v1=50 v2=50")
			setSplit(t, c, "v1=0 v2=100")
			shares(1, "v1=0 v2=100")
			close(stop)
			callers.Wait()
		})
	}
}

func TestFilter(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	a, b := serve(t), serve(t)
	register(t, r, "a", a, version("v1"))
	register(t, r, "b", b, func(in *discovery.Instance) { in.Tags = []string{"canary"} })
	d := directory(t, c)
	awaitSpread(t, connect(t, d, lb(grpcdisc.RoundRobin, "")), a, b)
	awaitSpread(t, connect(t, d, lb(grpcdisc.RoundRobin, `"filter":"v1"`)), a)
	awaitSpread(t, connect(t, d, lb(grpcdisc.RoundRobin, `"filter":"tag=canary"`)), b)
	none := connect(t, d, lb(grpcdisc.RoundRobin, `"filter":"v9"`))
	if _, err := call(within(t), none); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "v9") {
		t.Errorf("%v", err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := call(within(t), none, grpc.WaitForReady(true))
		waited <- err
	}()
	register(t, r, "c", serve(t), version("v9"))
	if err := clienttest.Receive(t, "the call that waits", waited); err != nil {
		t.Error(err)
	}
	if _, err := grpc.NewClient("etcd:///"+t.Name(), grpc.WithResolvers(grpcdisc.NewBuilder(d)),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(lb(grpcdisc.P2C, `"filter":"color=red"`))); err == nil ||
		!strings.Contains(err.Error(), "color") {
		t.Errorf("an invalid filter: %v", err)
	}
}

// Two operators change weights and the split a thousand times a second while calls run: no call
// fails, and the last change is in force in the end.
func TestControlChangesAllTheTime(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	of := make(map[string]string)
	for i := range 8 {
		s, v := serve(t), fmt.Sprint("v", i%2)
		of[s.addr] = v
		register(t, r, fmt.Sprint(i), s, version(v))
	}
	setSplit(t, c, "v0=50 v1=50")
	cc := connect(t, directory(t, c), lb(grpcdisc.Random, ""))
	one := func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), clienttest.Long)
		defer cancel()
		addr, err := call(ctx, cc)
		return of[addr], err
	}
	var writers, operators sync.WaitGroup
	for w := range 4 { // a program that makes changes without a pause
		writers.Go(func() {
			for i := range 400 {
				value := fmt.Sprintf(
					`{"instances":{"%d":{"weight":%d}},"split":{"v0":%d,"v1":%d}}`,
					w,
					1+i%100,
					i%101,
					100-i%101,
				)
				if _, err := c.Put(context.Background(), "/fairlead/control/"+t.Name(), value); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	operators.Go(func() {
		writers.Wait()
		close(done)
	})
	operators.Go(func() {
		for range 20 {
			err := discovery.ChangeControl(context.Background(), c, t.Name(), func(ctl *discovery.Control) error {
				ctl.Override("7", func(o *discovery.Override) { o.Weight = 9 })
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	for n, running := 0, true; running; n++ {
		select {
		case <-done:
			running = false
			t.Logf("%d calls meanwhile", n)
		default:
		}
		if _, err := one(); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
	}
	operators.Wait()
	setSplit(t, c, "v0=100 v1=0")
	clienttest.Await(t, "the last split", func() bool {
		for range 50 {
			if v, err := one(); err != nil {
				t.Fatal(err)
			} else if v != "v0" {
				return false
			}
		}
		return true
	})
}
