package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Check reports whether an instance works: nil if it does, else why not. It must heed ctx, which
// ends with the time allowed. A check that does not heed it counts as failed, and is not called
// again before it has returned.
type Check func(ctx context.Context) error

const (
	// DefaultCheckEvery finds a dead service after two checks, in about [DefaultTTL], the time
	// after which the record of a dead process goes.
	DefaultCheckEvery = 5 * time.Second
	// checkFailures in a row withdraw the record: a single one may be a hiccup.
	checkFailures = 2
)

// Supervise calls check at intervals of every, and allows it that long to answer; 0 stands for
// [DefaultCheckEvery]. After two failures in a row it removes the record, and puts it back when the
// check succeeds. It returns at once and ends with the registration. With a nil check or a negative
// time each check fails, with an error that wraps [ErrInvalid].
func (g *Registration) Supervise(check Check, every time.Duration) {
	if check == nil || every < 0 {
		err := invalid("a check that is nil, or made every %v", every)
		check, every = func(context.Context) error { return err }, 0
	}
	if every == 0 {
		every = DefaultCheckEvery
	}
	g.r.keeper.Go(func(ctx context.Context) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		var running chan error
		for failures := 0; ; {
			if running == nil {
				running = make(chan error, 1)
				cctx, cancel := context.WithTimeout(ctx, every)
				go func(result chan<- error) { // not of the group: a check that hangs must not hold up Close
					defer cancel()
					result <- check(cctx)
				}(running)
			}
			select {
			case err := <-running:
				running = nil
				if err == nil {
					failures = 0
					g.withdraw(false, nil)
				} else if failures++; failures >= checkFailures {
					g.withdraw(true, err)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			case <-tick.C:
				if failures++; failures >= checkFailures {
					g.withdraw(true, errCheckHangs)
				}
			case <-ctx.Done():
				return
			}
			if g.kept.Closed() {
				return
			}
		}
	})
}

var errCheckHangs = errors.New("discovery: the check does not return")

// HTTPCheck requests a URL; a status of the 200s or 300s passes.
func HTTPCheck(url string) Check {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // a fresh connection is what others make
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		if resp.StatusCode >= 400 {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	}
}

// TCPCheck connects to "host:port".
func TCPCheck(address string) Check {
	return func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// GRPCCheck asks the health service at "host:port", in plain text, for the state of a service
// (empty: the server as a whole); "serving" passes.
func GRPCCheck(address, service string) Check {
	return func(ctx context.Context) error {
		cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer cc.Close()
		r, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
		if err == nil && r.Status != healthpb.HealthCheckResponse_SERVING {
			err = fmt.Errorf("%s says it is %s", address, r.Status)
		}
		return err
	}
}
