package concurrency

// Keys that a restored etcd has again. A session remembers the names that it used last, 10,000 of
// them; see package relapse for what it does with them.

import (
	"context"
	"errors"
	"math/rand/v2"

	"go.etcd.io/etcd/api/v3/mvccpb"
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

// watchFailed starts such a look if a watch has found another history.
func (s *Session) watchFailed(err error) {
	if errors.Is(err, v3.ErrHistoryLost) {
		s.mayRelapse()
	}
}

// newestEnded is the newest revision with which one of the session's keys has ended.
func (s *Session) newestEnded() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over.Newest()
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
					"this user may not read all locks that it released: if etcd was restored, one of them may be "+
						"held until the session ends",
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
	s.mu.Lock()
	notes := s.over.Notes()
	s.mu.Unlock()
	rev, err := relapse.Look(ctx, s.client, s.id, attendTry, s.endedKeys, func(kv *mvccpb.KeyValue) {
		s.input(string(kv.Key), func(k *core) { k.back(kv.CreateRevision) })
	})
	if rev > 0 { // keys that are made from now on are not those that ended
		s.mu.Lock()
		s.over.Lower(notes, rev)
		s.mu.Unlock()
	}
	return err
}

// endedKeys have ended, though others of the same names may be held now.
func (s *Session) endedKeys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.over.Keys()
	for key, sl := range s.slots {
		if sl.core.dead > 0 && s.over.Rev(key) == 0 {
			keys = append(keys, key)
		}
	}
	return keys
}
