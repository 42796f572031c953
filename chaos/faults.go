package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
	"github.com/fairlead-go/fairlead/chaos/schedule"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

const (
	// operatorTimeout bounds an operator's action: the member may be frozen.
	operatorTimeout = 3 * time.Second
	// readyTimeout bounds the wait for a restarted member.
	readyTimeout = time.Minute
)

// striker carries out a schedule and notes what was done to whom and when.
type striker struct {
	cluster *etcdtest.Cluster
	admin   *admin
	rec     *recorder
	clock   history.Clock
	stopAt  time.Duration // no fault goes on beyond it

	operator    sync.Mutex       // only one operator works at a time
	restored    *history.Restore // set by the lane of the members' faults
	mu          sync.Mutex
	touches     []history.Touch      // guarded by mu
	compactions []history.Compaction // guarded by mu
	meddlings   []history.Meddling   // guarded by mu
	counts      map[schedule.Kind]int
	refused     map[schedule.Kind]int // guarded by mu, as counts; what an operator failed to do
	problems    []error               // guarded by mu; the harness itself failed
}

// run carries out the whole schedule, both lanes at once. It returns when everything is healed or
// ctx ends.
func (s *striker) run(ctx context.Context, faults []schedule.Fault) {
	var wg sync.WaitGroup
	for _, member := range []bool{true, false} {
		wg.Go(func() {
			for _, f := range faults {
				if f.Of() != member {
					continue
				}
				pause(ctx, f.At-s.clock.Now())
				if ctx.Err() != nil {
					return
				}
				switch {
				case f.Kind == schedule.Restore:
					err := s.restore(ctx, f)
					s.problem(err)
					s.note(f.Kind, err)
				case member:
					s.strike(ctx, f)
				default:
					s.operate(ctx, f)
				}
			}
		})
	}
	wg.Wait()
}

// strike inflicts one fault on its members, waits for its length and heals them.
func (s *striker) strike(ctx context.Context, f schedule.Fault) {
	victims, err := s.victims(ctx, f)
	if err != nil {
		s.note(f.Kind, err) // there is no leader at the moment
		return
	}
	from := s.clock.Now()
	until := min(from+f.For, s.stopAt)
	if until <= from {
		s.note(f.Kind, errors.New("the faults before took too long"))
		return
	}
	var begun sync.WaitGroup
	for _, v := range victims { // all at once: a member asked to end takes up to 7 s
		begun.Go(func() { s.problem(s.begin(f, v)) })
	}
	begun.Wait()
	s.note(f.Kind, nil)
	if f.Kind == schedule.Reset {
		for s.clock.Now() < until && ctx.Err() == nil {
			for _, v := range victims {
				s.cluster.Members()[v].Proxy().Reset()
			}
			pause(ctx, min(300*time.Millisecond, until-s.clock.Now()))
		}
	}
	pause(ctx, until-s.clock.Now())
	for _, v := range victims {
		s.problem(s.end(f, v))
	}
	if f.Kind == schedule.Kill || f.Kind == schedule.Terminate || f.Kind == schedule.Partition ||
		f.Kind == schedule.Freeze {
		// It counts as touched until it serves again.
		rctx, cancel := context.WithTimeout(ctx, readyTimeout)
		for _, v := range victims {
			if err := s.cluster.Members()[v].WaitReady(rctx); err != nil && ctx.Err() == nil {
				s.problem(fmt.Errorf("m%d after %s: %w", v, f.Kind, err))
			}
		}
		cancel()
	}
	for _, v := range victims {
		s.touch(history.Touch{Member: v, What: string(f.Kind), From: from, To: s.clock.Now()})
	}
}

func (s *striker) victims(ctx context.Context, f schedule.Fault) ([]int, error) {
	var list []int
	var leader *etcdtest.Member
	if f.Scope == schedule.Leader {
		fctx, cancel := context.WithTimeout(ctx, operatorTimeout)
		defer cancel()
		var err error
		if leader, err = s.cluster.FindLeader(fctx); err != nil {
			return nil, err
		}
	}
	for i, m := range s.cluster.Members() {
		hit := true
		switch f.Scope {
		case schedule.One:
			hit = i == f.Member
		case schedule.Two:
			hit = i != f.Member
		case schedule.Leader:
			hit = m == leader
		}
		if hit {
			list = append(list, i)
		}
	}
	return list, nil
}

func (s *striker) begin(f schedule.Fault, member int) error {
	m := s.cluster.Members()[member]
	switch f.Kind {
	case schedule.Freeze:
		return m.Freeze()
	case schedule.Kill:
		m.Kill()
	case schedule.Terminate:
		m.Terminate()
	case schedule.BlackHole:
		m.Proxy().BlackHole()
	case schedule.Mute:
		m.Proxy().BlackHole(faultnet.ToClient)
	case schedule.Cut:
		m.Proxy().Cut()
	case schedule.Slow:
		m.Proxy().Delay(f.Delay, faultnet.Both)
	case schedule.Partition:
		return m.PartitionFromPeers()
	}
	return nil
}

func (s *striker) end(f schedule.Fault, member int) error {
	m := s.cluster.Members()[member]
	switch f.Kind {
	case schedule.Freeze:
		return m.Thaw()
	case schedule.Kill, schedule.Terminate:
		return m.Restart()
	case schedule.Partition:
		return m.HealPeers()
	}
	return m.Proxy().Heal()
}

// operate does what an operator would do. It may fail without harm, since members are down.
func (s *striker) operate(ctx context.Context, f schedule.Fault) {
	s.operator.Lock()
	defer s.operator.Unlock()
	ctx, cancel := context.WithTimeout(ctx, operatorTimeout)
	defer cancel()
	from := s.clock.Now()
	var err error
	switch f.Kind {
	case schedule.Compact:
		rev := s.rec.reached() - f.Keep
		if rev <= firstRevision {
			return
		}
		s.mu.Lock()
		s.compactions = append(s.compactions, history.Compaction{Rev: rev, At: from})
		s.mu.Unlock()
		err = s.admin.compact(ctx, rev)
	case schedule.MoveLeader:
		err = s.admin.moveLeader(ctx, f.Member)
	case schedule.Defragment:
		err = s.admin.defragment(ctx, f.Member)
		s.touch(history.Touch{Member: f.Member, What: string(f.Kind), From: from, To: s.clock.Now()})
	case schedule.Roles:
		err = s.admin.roles(ctx)
	case schedule.DeleteKey:
		err = s.deleteKey(ctx, contests[f.Pick%len(contests)], f.Pick/2)
	case schedule.Revoke:
		err = s.revoke(ctx, f.Pick)
	}
	s.note(f.Kind, err)
}

// heal ends every fault, whatever the schedule did, and waits until all members serve.
func (s *striker) heal(ctx context.Context) error {
	var err error
	for _, m := range s.cluster.Members() {
		if !m.Running() {
			if m.Thaw() != nil || !m.Running() {
				err = errors.Join(err, m.Restart())
			}
		}
		err = errors.Join(err, m.Proxy().Heal(), m.HealPeers())
		m.Proxy().Delay(0)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return errors.Join(err, s.cluster.WaitHealthy(ctx))
}

// makeUp does once what operators have tried in vain each time, while members were down, and what a
// checker needs at least once.
func (s *striker) makeUp(ctx context.Context) {
	for i, k := range []schedule.Kind{schedule.Compact, schedule.DeleteKey, schedule.Revoke} {
		s.mu.Lock()
		vain := s.counts[k] == 0 && s.refused[k] > 0
		s.mu.Unlock()
		if vain {
			s.operate(ctx, schedule.Fault{Kind: k, Keep: 10, Pick: i})
		}
	}
}

func (s *striker) touch(t history.Touch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touches = append(s.touches, t)
}

func (s *striker) note(k schedule.Kind, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refused[k]++
		return
	}
	s.counts[k]++
}

func (s *striker) problem(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, err)
}
