package etcdtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// probeTimeout bounds one question to a server. The health check of a server that is frozen or cut
// off takes seconds.
const probeTimeout = 2 * time.Second

// exitedError ends the wait for a server whose process has ended.
type exitedError struct{ cause error }

func (e *exitedError) Error() string {
	if e.cause == nil {
		return "the server has ended"
	}
	return "the server has ended: " + e.cause.Error()
}

func (e *exitedError) Unwrap() error { return e.cause }

// poll calls f until it succeeds, until it fails with an exitedError, or until ctx ends. Its error
// in the last case includes f's last one.
func poll(ctx context.Context, f func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := f(ctx)
		var final *exitedError
		if err == nil || errors.As(err, &final) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		}
	}
}

// getURL gets a URL and passes the response to read. Each call has its own connection: a kept one
// would be a goroutine that outlives the test, and would hang with a frozen server.
func getURL(ctx context.Context, url string, read func(*http.Response) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return read(resp)
}

func getHealth(ctx context.Context, base string) error {
	return getURL(ctx, base+"/health", func(resp *http.Response) error {
		var answer struct{ Health, Reason string }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return fmt.Errorf("health answer: %w", err)
		}
		if answer.Health != "true" {
			return fmt.Errorf("unhealthy: %s", answer.Reason)
		}
		return nil
	})
}

func (m *Member) healthy(ctx context.Context) error { return getHealth(ctx, m.MetricsURL) }

// Metric returns the value of one of the server's metrics. The name includes the labels if there
// are any: `etcd_server_is_leader`, `etcd_network_peer_sent_bytes_total{To="8e9e05c52164694d"}`. A
// metric that the server does not list, for instance since it never counted anything, is an error.
func (m *Member) Metric(ctx context.Context, name string) (float64, error) {
	rest, err := m.metricLine(ctx, name+" ")
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(rest, 64)
}

// ID is the member's id, as the client API reports it.
func (m *Member) ID(ctx context.Context) (uint64, error) {
	rest, err := m.metricLine(ctx, `etcd_server_id{server_id="`)
	if err != nil {
		return 0, err
	}
	hex, _, _ := strings.Cut(rest, `"`)
	return strconv.ParseUint(hex, 16, 64)
}

func (m *Member) isLeader(ctx context.Context) (bool, error) {
	v, err := m.Metric(ctx, "etcd_server_is_leader")
	return v == 1, err
}

// metricLine finds the line of the metrics that begins with prefix, and returns the rest of the
// line.
func (m *Member) metricLine(ctx context.Context, prefix string) (rest string, err error) {
	err = getURL(ctx, m.MetricsURL+"/metrics", func(resp *http.Response) error {
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			var ok bool
			if rest, ok = strings.CutPrefix(lines.Text(), prefix); ok {
				return nil
			}
		}
		return errors.Join(fmt.Errorf("%s has no metric %s", m.Name, prefix), lines.Err())
	})
	return rest, err
}
