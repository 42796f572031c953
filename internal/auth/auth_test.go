package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/worker"
)

func newKeeper(t *testing.T, fetch func(context.Context) (string, error)) *Keeper {
	g := worker.New(context.Background())
	t.Cleanup(g.Stop)
	return New(g, fetch)
}

func TestOneRefreshForMany(t *testing.T) {
	var fetches atomic.Int32
	release := make(chan struct{})
	k := newKeeper(t, func(context.Context) (string, error) {
		<-release
		return fmt.Sprint("token-", fetches.Add(1)), nil
	})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := k.Ensure(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := fetches.Load(); n != 1 {
		t.Fatalf("%d fetches for one expiry", n)
	}
	old := k.Token()
	k.Invalidate(old)
	if err := k.Ensure(context.Background()); err != nil || k.Token().Value != "token-2" {
		t.Fatalf("after the current token was refused: %v, %+v", err, k.Token())
	}
	k.Invalidate(old)
	if err := k.Ensure(context.Background()); err != nil || fetches.Load() != 2 {
		t.Fatal("a refused token that was replaced already must not be replaced again")
	}
}

// A refused token is replaced before anybody asks for the next: a stream may have been opened with
// it, and is about to be refused too.
func TestRefusedTokenIsReplacedAtOnce(t *testing.T) {
	fetched := make(chan struct{}, 8)
	k := newKeeper(t, func(context.Context) (string, error) {
		fetched <- struct{}{}
		return "x", nil
	})
	if err := k.Ensure(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-fetched
	old := k.Token()
	k.Invalidate(old)
	select {
	case <-fetched:
	case <-time.After(30 * time.Second):
		t.Fatal("not replaced")
	}
	k.Invalidate(old)
	if err := k.Ensure(context.Background()); err != nil || len(fetched) > 0 {
		t.Errorf("%v, %d fetches for a token that had been replaced", err, len(fetched))
	}
}

func TestCallerLeavesRefreshRunning(t *testing.T) {
	release := make(chan struct{})
	k := newKeeper(t, func(context.Context) (string, error) { <-release; return "x", nil })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := k.Ensure(ctx); err != context.Canceled {
		t.Fatalf("got %v", err)
	}
	close(release)
	if err := k.Ensure(context.Background()); err != nil || k.Token().Value != "x" {
		t.Fatalf("the refresh was lost with its first caller: %v", err)
	}
}

// A refresh that no server answers is started again while a caller waits.
func TestEnsureLastsAsLongAsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { lasts(t, (*Keeper).Ensure) })
}

// TestRenewLastsAsLongAsItsContext, although there is a token.
func TestRenewLastsAsLongAsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lasts(t, func(k *Keeper, ctx context.Context) error {
			k.now.CompareAndSwap(nil, newToken("old", time.Now()))
			return k.Renew(ctx)
		})
	})
}

// lasts checks that get waits as long as its context, and starts refreshes that no server answers
// again.
func lasts(t *testing.T, get func(*Keeper, context.Context) error) {
	fetches := 0
	k := newKeeper(t, func(ctx context.Context) (string, error) {
		if fetches++; fetches <= 3 {
			<-ctx.Done()
			return "", ctx.Err()
		}
		return fmt.Sprint("late-", fetches), nil
	})
	if err := k.Try(context.Background()); etcderr.Code(err) != codes.Unavailable ||
		errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one refresh without an answer: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), refreshTimeout/2)
	defer cancel()
	if err := get(k, ctx); err != context.DeadlineExceeded {
		t.Errorf("a caller with less time than a refresh: %v", err)
	}
	if err := get(k, context.Background()); err != nil || k.Token().Value != "late-4" {
		t.Errorf("a caller with all the time: %v", err)
	}
}

// A caller that waits gets ErrClosed when the keeper's group stops.
func TestEnsureEndsWithTheGroup(t *testing.T) {
	g := worker.New(context.Background())
	fetching := make(chan struct{})
	k := New(g, func(ctx context.Context) (string, error) {
		close(fetching)
		<-ctx.Done()
		return "", ctx.Err()
	})
	done := make(chan error)
	go func() { done <- k.Ensure(context.Background()) }()
	<-fetching
	g.Stop()
	if err := <-done; !errors.Is(err, etcderr.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestFailuresAreSharedAndNotKept(t *testing.T) {
	var err error = rpctypes.ErrAuthFailed
	k := newKeeper(t, func(context.Context) (string, error) { return "good", err })
	if got := k.Ensure(context.Background()); !errors.Is(got, rpctypes.ErrAuthFailed) {
		t.Fatalf("got %v", got)
	}
	err = rpctypes.ErrAuthNotEnabled
	if got := k.Ensure(context.Background()); got != nil || k.Token() != nil {
		t.Fatalf("without authentication no token is needed: %v", got)
	}
	err = nil
	k.Invalidate(nil)
	if got := k.Ensure(context.Background()); got != nil || k.Token().Value != "good" {
		t.Fatalf("authentication was switched on later: %v", got)
	}
}

func TestGivenTokenStaysAndClosedKeeperFetchesNone(t *testing.T) {
	k := Static("mine")
	if k.Invalidate(k.Token()) || k.Token() == nil {
		t.Fatal("a given token cannot be renewed and must stay")
	}
	g := worker.New(context.Background())
	g.Stop()
	err := New(g, func(context.Context) (string, error) { return "", nil }).Ensure(context.Background())
	if err == nil {
		t.Fatal("a closed keeper fetched a token")
	}
}

func ExampleKeeper() {
	g := worker.New(context.Background())
	defer g.Stop()
	k := New(g, func(context.Context) (string, error) { return "secret", nil })
	fmt.Println(k.Ensure(context.Background()), k.Token().Metadata()["token"])
	// Output: <nil> secret
}

// If no endpoint can work as configured, Ensure waits until the deadline, since the configuration
// may be corrected.
func TestEnsureWaitsForMisconfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := &etcderr.Error{
			Status:        codes.Unavailable,
			Cause:         errors.New("unknown authority"),
			Unexecuted:    true,
			Misconfigured: true,
		}
		var mended atomic.Bool
		k := newKeeper(t, func(context.Context) (string, error) {
			if mended.Load() {
				return "x", nil
			}
			return "", wrong
		})
		began := time.Now()
		if err := k.Ensure(context.Background()); err != wrong || time.Since(began) > 0 {
			t.Errorf("without a deadline: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		k.FailFast = true
		if err := k.Ensure(ctx); err != wrong {
			t.Errorf("fail-fast: %v", err)
		}
		k.FailFast = false
		err := k.Ensure(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "unknown authority") ||
			time.Since(began) != 5*time.Second {
			t.Errorf("with a deadline: %v after %v", err, time.Since(began))
		}
		time.AfterFunc(3*time.Second, func() { mended.Store(true) })
		ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := k.Ensure(ctx); err != nil || k.Token().Value != "x" {
			t.Errorf("when it is set right: %v", err)
		}
	})
}
