package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// victim chooses the member to freeze: the one the calls go to, which hurts most; and if that one was frozen before, another follower.
// The role is told to the user.
func (d *demo) victim(ctx context.Context, before map[*child]bool) (m *child, role string, err error) {
	busiest, err := d.busiest(ctx)
	if err != nil {
		return nil, "", err
	}
	leader, err := d.leader(ctx)
	if err != nil {
		return nil, "", err
	}
	name := func(m *child) string {
		if m == leader {
			return "the leader"
		}
		return "a follower"
	}
	// First a follower: a cluster goes on without one, so whatever goes wrong is the client's doing.
	if len(before) == 0 && busiest == leader {
		for _, m := range d.cluster.members {
			if m != leader {
				return m, name(m), nil
			}
		}
	}
	if !before[busiest] {
		return busiest, name(busiest) + ", which the calls go to", nil
	}
	for _, m := range d.cluster.members {
		if !before[m] && m != leader {
			return m, name(m), nil
		}
	}
	return leader, name(leader), nil
}

func (d *demo) leader(ctx context.Context) (*child, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var errs []error
	for _, m := range d.cluster.members {
		resp, err := d.client.Status(ctx, m.endpoint)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if resp.Leader == resp.Header.MemberId {
			return m, nil
		}
	}
	return nil, fmt.Errorf("no member says it leads: %w", errors.Join(errs...))
}

// busiest is the member whose server received most from clients within a short while.
func (d *demo) busiest(ctx context.Context) (*child, error) {
	var start [members]float64
	for i, m := range d.cluster.members {
		n, err := received(ctx, m.endpoint)
		if err != nil {
			return nil, err
		}
		start[i] = n
	}
	wait := time.NewTimer(400 * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	var top *child
	most := -1.0
	for i, m := range d.cluster.members {
		n, err := received(ctx, m.endpoint)
		if err != nil {
			return nil, err
		}
		if n-start[i] > most {
			top, most = m, n-start[i]
		}
	}
	return top, nil
}

// received reads a member's count of bytes from clients.
func received(ctx context.Context, endpoint string) (float64, error) {
	const metric = "etcd_network_client_grpc_received_bytes_total "
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), metric); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s does not publish %s", endpoint, metric)
}
