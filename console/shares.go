package console

import (
	"net/http"
	"strconv"
	"sync"
)

const (
	// userSessions bounds the sessions of one user: a new one replaces the one unused for longest.
	userSessions = 32
	// userStreams bounds the streams of one user; each is a connection and a few watches.
	userStreams = 32
	// maxStreams bounds all streams, so that only many users together can use them up.
	maxStreams = 256
	// userCalls bounds the requests of one user at a time. A page makes a few at once.
	userCalls = 32
	maxCalls  = 256
)

// shares bounds the number of sessions, streams or calls at a time, for each user and in total, so
// that one user cannot use up the others' part. All sessions with the token, or of an open console,
// count as one user.
type shares struct {
	what       string // for the refusal, after a number
	each, most int

	mu  sync.Mutex // guards what follows
	of  map[string]int
	all int
}

// take takes one more for a user, which give gives back, or returns the refusal.
func (s *shares) take(user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[user] >= s.each {
		return &apiError{
			Status:  http.StatusTooManyRequests,
			Code:    "too_many",
			Message: "you have " + strconv.Itoa(s.each) + " " + s.what + " already",
		}
	}
	if s.all >= s.most {
		return &apiError{
			Status:  http.StatusServiceUnavailable,
			Code:    "too_many",
			Message: "the console has " + strconv.Itoa(s.most) + " " + s.what + " already",
		}
	}
	if s.of == nil {
		s.of = make(map[string]int)
	}
	s.of[user]++
	s.all++
	return nil
}

func (s *shares) give(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[user]--; s.of[user] == 0 {
		delete(s.of, user)
	}
}
