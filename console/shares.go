package console

import (
	"net/http"
	"strconv"
	"sync"
)

const (
	// userSessions bounds the sessions of one user: the one unused for longest makes room.
	userSessions = 32
	// userStreams bounds the streams of one user; each is a connection and a few watches.
	userStreams = 32
	// maxStreams bounds all streams, so that it takes many users to use them up.
	maxStreams = 256
	// userCalls bounds what one user asks at a time. A page asks for a few things at once.
	userCalls = 32
	maxCalls  = 256
)

// shares bounds how much of something there is at a time, for each user and in total: one user
// cannot take what the others need. Those who come with the token, or to an open console, count as
// one.
type shares struct {
	what       string // in the refusal, after a number
	each, most int

	mu  sync.Mutex // guards what follows
	of  map[string]int
	all int
}

// take is one more for a user, which give ends, or the refusal.
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
