package demo

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

// Two processes compete to lead; the leader is killed and the other takes over.

const (
	electionName = "demo/election"
	// electionTTL, in seconds, is about as short as the server allows.
	electionTTL = 2
	// takeOver is how long the take-over may take beyond the TTL.
	takeOver = 5 * time.Second
)

// Candidate describes a process that wants to lead.
type Candidate struct {
	Name      string
	Endpoints []string
}

// Run campaigns, writes "leads" and its fencing token, and ends with its session or ctx.
func (c Candidate) Run(ctx context.Context, out io.Writer) error {
	cli, err := clientv3.New(
		clientv3.Config{Endpoints: c.Endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()},
	)
	if err != nil {
		return err
	}
	defer cli.Close()
	s, err := concurrency.NewSession(cli, concurrency.WithTTL(electionTTL))
	if err != nil {
		return err
	}
	defer s.Close()
	e := concurrency.NewElection(s, electionName)
	if err := e.Campaign(ctx, c.Name); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "leads %d\n", e.Fence()); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-s.Done():
		return context.Cause(s.Ctx())
	}
}

func (d *demo) election(ctx context.Context) error {
	d.say.title("Two processes compete to lead")
	start := func(name string) (*child, <-chan string, error) {
		c, first, err := startProcess(
			d.candidate,
			Candidate{name, d.cluster.endpoints()},
			name,
			filepath.Join(d.cluster.dir, name+".log"),
		)
		if err != nil {
			return nil, nil, err
		}
		d.say.line("%s  process %d", name, c.cmd.Process.Pid)
		return c, first, nil
	}
	one, leads, err := start("candidate-1")
	if err != nil {
		return err
	}
	defer one.kill()
	before, err := d.elected(ctx, one, leads)
	if err != nil {
		return err
	}
	two, leads, err := start("candidate-2")
	if err != nil {
		return err
	}
	defer two.kill()
	if err := d.awaitCandidates(ctx, 2); err != nil {
		return err
	}
	d.say.line("killing candidate-1")
	killed := time.Now()
	one.kill()
	after, err := d.elected(ctx, two, leads)
	if err != nil {
		return err
	}
	took := time.Since(killed)
	d.say.line("%s after the kill; the session of a dead process lives for %d s", short(took), electionTTL)
	if after <= before {
		return fmt.Errorf("the fencing token went from %d to %d", before, after)
	}
	if limit := electionTTL*time.Second + takeOver; took > limit {
		return fmt.Errorf("taken over after %v, more than %v", took, limit)
	}
	return nil
}

// elected waits until the candidate leads and returns its fencing token.
func (d *demo) elected(ctx context.Context, c *child, leads <-chan string) (fence int64, err error) {
	select {
	case line, ok := <-leads:
		if !ok {
			return 0, fmt.Errorf("%s has ended: %s", c.name, lastLine(c.logFile))
		}
		if _, err := fmt.Sscanf(line, "leads %d", &fence); err != nil {
			return 0, fmt.Errorf("%s says %q", c.name, line)
		}
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	d.say.line("%s leads, fencing token %d", c.name, fence)
	return fence, nil
}

// awaitCandidates waits until n candidates compete.
func (d *demo) awaitCandidates(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := d.client.Get(ctx, electionName+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || r.Count >= n {
		return err
	}
	joined := r.Count
	for resp := range d.client.Watch(ctx, electionName+"/", clientv3.WithPrefix(),
		clientv3.WithRev(r.Header.Revision+1), clientv3.WithFilterDelete()) {
		if joined += int64(len(resp.Events)); joined >= n {
			return nil
		}
	}
	return fmt.Errorf("the second candidate did not come: %w", context.Cause(ctx))
}
