// Locks compares the official client's locks with ours: the cost of a lock and its release without
// contention, and the time of a hand-over with a hundred contenders.
//
//	go run ./locks
//
// Both clients use one server over a link with the delay between two zones: on bare loopback the
// server's work would count for more than the round trips. A round trip is the median of
// single-key reads through the same client.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	theirs "go.etcd.io/etcd/client/v3"
	theirconcurrency "go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// limit bounds the whole program.
const limit = 2 * time.Minute

// mutex is what the locks of both have in common.
type mutex interface {
	Lock(ctx context.Context) error
	Unlock(ctx context.Context) error
}

// side is one of the two clients.
type side struct {
	name  string
	calls atomic.Int64 // unary calls made
	read  func(ctx context.Context) error
	mutex func(prefix string) (mutex, error) // of a session of its own
	close func() error
}

// count is an interceptor that counts calls.
func (s *side) count() grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(
		func(
			ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
			opts ...grpc.CallOption,
		) error {
			s.calls.Add(1)
			return invoke(ctx, method, req, reply, cc, opts...)
		},
	)
}

func official(endpoints []string) (*side, error) {
	s := &side{name: "official"}
	c, err := theirs.New(
		theirs.Config{Endpoints: endpoints, Logger: zap.NewNop(), DialOptions: []grpc.DialOption{s.count()}},
	)
	if err != nil {
		return nil, err
	}
	s.read = func(ctx context.Context) error { _, err := c.Get(ctx, "locks/read"); return err }
	s.mutex = func(prefix string) (mutex, error) {
		session, err := theirconcurrency.NewSession(c)
		if err != nil {
			return nil, err
		}
		return theirconcurrency.NewMutex(session, prefix), nil
	}
	s.close = c.Close
	return s, nil
}

func fairlead(endpoints []string) (*side, error) {
	s := &side{name: "fairlead"}
	c, err := ours.New(
		ours.Config{Endpoints: endpoints, Logger: zap.NewNop(), DialOptions: []grpc.DialOption{s.count()}},
	)
	if err != nil {
		return nil, err
	}
	s.read = func(ctx context.Context) error { _, err := c.Get(ctx, "locks/read"); return err }
	s.mutex = func(prefix string) (mutex, error) {
		session, err := concurrency.NewSession(c)
		if err != nil {
			return nil, err
		}
		return concurrency.NewMutex(session, prefix), nil
	}
	s.close = c.Close
	return s, nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// figures are the measurements of one side.
type figures struct {
	trip      time.Duration // a read
	alone     time.Duration // lock and unlock without contention
	calls     float64       // for that
	hand, p99 time.Duration // from the call of Unlock to the return of the next owner's Lock
	all       time.Duration // until all contenders had it once
}

func measure(ctx context.Context, s *side, keys *ours.Client, rounds, contenders int) (f figures, err error) {
	var trips, alone []time.Duration
	for range rounds {
		began := time.Now()
		if err := s.read(ctx); err != nil {
			return f, err
		}
		trips = append(trips, time.Since(began))
	}
	m, err := s.mutex("locks/alone")
	if err != nil {
		return f, err
	}
	before := s.calls.Load()
	for range rounds {
		began := time.Now()
		if err := m.Lock(ctx); err != nil {
			return f, err
		}
		if err := m.Unlock(ctx); err != nil {
			return f, err
		}
		alone = append(alone, time.Since(began))
	}
	f.trip, f.alone, f.calls = median(trips), median(alone), float64(s.calls.Load()-before)/float64(rounds)
	hands, all, err := contend(ctx, s, keys, contenders)
	if err != nil {
		return f, err
	}
	f.all, f.hand = all, median(hands)
	f.p99 = hands[len(hands)*99/100]
	return f, nil
}

// contend queues all contenders up for a lock that is held, and measures each hand-over.
func contend(
	ctx context.Context,
	s *side,
	keys *ours.Client,
	contenders int,
) (hands []time.Duration, all time.Duration, err error) {
	first, err := s.mutex("locks/contended")
	if err != nil {
		return nil, 0, err
	}
	if err := first.Lock(ctx); err != nil {
		return nil, 0, err
	}
	var mu sync.Mutex
	var released time.Time // when Unlock was called last
	var failed error
	var wg sync.WaitGroup
	for range contenders {
		m, err := s.mutex("locks/contended")
		if err != nil {
			return nil, 0, err
		}
		wg.Go(func() {
			err := m.Lock(ctx)
			now := time.Now()
			mu.Lock()
			if err == nil {
				hands = append(hands, now.Sub(released))
				released = time.Now()
			}
			mu.Unlock()
			if err == nil {
				err = m.Unlock(ctx)
			}
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	// All are in line once their keys exist.
	for n := int64(0); n < int64(contenders)+1 && ctx.Err() == nil; {
		if n, err = waiting(ctx, keys); err != nil {
			return nil, 0, err
		}
	}
	began := time.Now()
	mu.Lock()
	released = began
	mu.Unlock()
	if err := first.Unlock(ctx); err != nil {
		return nil, 0, err
	}
	wg.Wait()
	return hands, time.Since(began), failed
}

// waiting counts the keys in line.
func waiting(ctx context.Context, keys *ours.Client) (int64, error) {
	r, err := keys.Get(ctx, "locks/contended/", ours.WithPrefix(), ours.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return r.Count, nil
}

func main() {
	rounds := flag.Int("rounds", 500, "locks without contention")
	contenders := flag.Int("contenders", 100, "contenders for one lock")
	delay := flag.Duration("delay", time.Millisecond, "of every byte, each way")
	flag.Parse()
	if err := run(*rounds, *contenders, *delay); err != nil {
		fmt.Fprintln(os.Stderr, "locks:", err)
		os.Exit(1)
	}
}

func run(rounds, contenders int, delay time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cluster, err := etcdtest.StartMain(etcdtest.Options{Proxied: true})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	member := cluster.Members()[0]
	keys, err := ours.New(ours.Config{Endpoints: []string{member.Direct}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer keys.Close()
	member.Proxy().Delay(delay, faultnet.Both)
	fmt.Printf(
		"etcd %s, one member, %v away, %d locks without contention, %d contenders\n\n",
		cluster.Version(),
		delay,
		rounds,
		contenders,
	)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "client\tround trip\tlock and unlock\tcalls\thand-over p50\tp99\tround trips\tall had it after")
	for _, make := range []func([]string) (*side, error){official, fairlead} {
		s, err := make(cluster.Endpoints())
		if err != nil {
			return err
		}
		f, err := measure(ctx, s, keys, rounds, contenders)
		if err := s.close(); err != nil {
			return err
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(
			w,
			"%s\t%s\t%s\t%.1f\t%s\t%s\t%.1f\t%s\n",
			s.name,
			short(f.trip),
			short(f.alone),
			f.calls,
			short(f.hand),
			short(f.p99),
			float64(f.hand)/float64(f.trip),
			short(f.all),
		)
	}
	return w.Flush()
}

func short(d time.Duration) string { return d.Round(time.Microsecond).String() }
