package concurrency

// Keys that a restored etcd has again. A session remembers the names that it used last, 10,000 of
// them; see package relapse for what it does with them.

import (
	"context"
	"math/rand/v2"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/relapse"
)

// mayRelapse starts a look at whether keys are back.
func (s *Session) mayRelapse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over.Len() == 0 && len(s.slots) == 0 {
		return
	}
	if s.doubts++; s.doubts == 1 {
		s.work(s.relapsed)
	}
}

// relapsed looks for keys of the session that have ended and are back, as often as there is a doubt
// of the history.
func (s *Session) relapsed(ctx context.Context) {
	for failures := 0; backoff.Sleep(ctx, rand.N(relapse.Spread)) == nil; {
		s.mu.Lock()
		doubts := s.doubts
		s.mu.Unlock()
		err := s.endAgain(ctx)
		if v3.Code(err) == codes.PermissionDenied {
			s.blind.Do(func() {
				s.client.GetLogger().Warn(
					"this user may not see all keys of its session's lease: if etcd was restored, a lock that was "+
						"released may be held until the session ends",
					zap.Int64("lease", int64(s.id)),
					zap.Error(err),
				)
			})
			err = nil
		}
		if err != nil {
			_ = backoff.Sleep(ctx, attendWait.Wait(failures))
			failures++
			continue
		}
		failures = 0
		s.mu.Lock()
		if s.doubts -= doubts; s.doubts == 0 {
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

func (s *Session) endAgain(ctx context.Context) error {
	try, cancel := context.WithTimeout(ctx, attendTry)
	defer cancel()
	r, err := s.client.TimeToLive(try, s.id, v3.WithAttachedKeys())
	if err != nil {
		return err
	}
	for _, key := range r.Keys {
		if s.hasEnded(string(key)) {
			if e := s.readBack(ctx, string(key)); e != nil {
				err = e
			}
		}
	}
	return err
}

// hasEnded reports that a key has ended, though another of the same name may be held now.
func (s *Session) hasEnded(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := s.slots[key]
	return s.over.Rev(key) > 0 || sl != nil && sl.core.dead > 0
}

// readBack reads a key and has the core of its slot decide.
func (s *Session) readBack(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, attendTry)
	defer cancel()
	r, err := s.client.Get(ctx, key)
	if err != nil || len(r.Kvs) == 0 || !s.owns(r.Kvs[0].Lease) {
		return err
	}
	s.input(key, func(k *core) { k.back(r.Kvs[0].CreateRevision) })
	return nil
}
