package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/bench/differential/fairlead"
	"github.com/fairlead-go/fairlead/bench/differential/official"
	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
	"github.com/fairlead-go/fairlead/bench/differential/server"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// executes is a side of the comparison.
type executes interface {
	Run(srv *server.Server, p script.Program, base int64) report.Report
}

// rig is two servers of a kind and the clients that are compared on them. It runs one program at a
// time.
type rig struct {
	servers [2]*server.Server
	sides   [2]executes
}

// kind describes the servers of a rig.
type kind struct {
	families []string
	options  etcdtest.Options
	auth     bool
	ready    func(*server.Server) error // called once the server is up
	fault    func(*server.Server, string) error
	fixed    bool // nothing can be written, so nothing is reset
}

// kinds are the rigs. Families that wait have servers of their own.
var kinds = []kind{
	{families: []string{"kv", "txn", "lease", "limits", "maintenance", "wrappers", "stm"}},
	{families: []string{"watch", "compaction", "leasing", "cache", "locks", "contexts"}},
	{families: []string{"auth"}, auth: true, options: etcdtest.Options{Args: []string{"--bcrypt-cost=4"}}},
	{families: []string{"expiry"}, auth: true, options: etcdtest.Options{
		Args: []string{
			"--bcrypt-cost=4",
			"--auth-token-ttl=2",
		}, Heartbeat: 20 * time.Millisecond, Election: 200 * time.Millisecond,
	}},
	{families: []string{"frozen"}, fault: freeze},
	{families: []string{"quorum"}, options: etcdtest.Options{Members: 3}, ready: loseQuorum, fixed: true},
}

func newRig(k kind) (*rig, error) {
	r := &rig{sides: [2]executes{official.Side{}, fairlead.Side{}}}
	for i := range r.servers {
		s, err := server.Start(k.options, k.auth)
		if err == nil {
			r.servers[i] = s
			s.Fixed = k.fixed
			if k.fault != nil {
				s.Fault = func(name string) error { return k.fault(s, name) }
			}
			if k.ready != nil {
				err = k.ready(s)
			}
		}
		if err != nil {
			return nil, errors.Join(err, r.stop())
		}
	}
	return r, nil
}

func (r *rig) stop() error {
	var errs []error
	for _, s := range r.servers {
		if s != nil {
			errs = append(errs, s.Stop())
		}
	}
	return errors.Join(errs...)
}

// run executes a program on both sides at the same time.
func (r *rig) run(p script.Program) ([2]report.Report, error) { return r.execute(p, r.sides) }

// execute runs a program on each server with one of two sides, which may be the same.
func (r *rig) execute(p script.Program, sides [2]executes) ([2]report.Report, error) {
	type result struct {
		side   int
		report report.Report
		err    error
	}
	results := make(chan result, 2)
	for i := range 2 {
		go func() {
			base, err := r.servers[i].Reset(context.Background())
			if err != nil {
				results <- result{i, nil, err}
				return
			}
			results <- result{i, sides[i].Run(r.servers[i], p, base), nil}
		}()
	}
	var reports [2]report.Report
	var errs []error
	for range 2 {
		res := <-results
		reports[res.side] = res.report
		errs = append(errs, res.err)
	}
	return reports, errors.Join(errs...)
}

func freeze(s *server.Server, name string) error {
	m := s.Cluster.Members()[0]
	switch name {
	case "freeze":
		s.Frozen = true
		return m.Freeze()
	case "thaw":
		s.Frozen = false
		return m.Thaw()
	}
	return fmt.Errorf("no fault is named %s", name)
}

// seededLease is a lease that exists before the cluster loses its quorum.
const seededLease = 28673

// loseQuorum writes some keys and ends two of three members.
func loseQuorum(s *server.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Grant(ctx, seededLease, 100000); err != nil {
		return err
	}
	for _, key := range []string{"a", "a/1", "a/2", "b", "b/1"} {
		for _, value := range []string{"old", key} {
			if err := s.Put(ctx, key, value); err != nil {
				return err
			}
		}
	}
	for _, m := range s.Cluster.Members()[1:] {
		m.Kill()
	}
	return s.Leaderless(ctx)
}
