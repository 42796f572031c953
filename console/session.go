package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// maxSessions bounds the clients of users that are open at a time. A new session replaces one
	// of the user with the most sessions.
	maxSessions = 128
	// secretHeader carries a session's secret. A cookie alone is not enough: browsers send it to
	// every port of a host.
	secretHeader = "Fairlead-Session"
	// sessionIdle is the time after which an unused session ends; sessionAge is the longest life of
	// any session.
	sessionIdle = 2 * time.Hour
	sessionAge  = 12 * time.Hour
	// sweepEvery is how exactly these times are kept.
	sweepEvery = time.Minute
)

// session is a user who has signed in. Its client stays open until all requests that began before
// its end are done.
type session struct {
	client *clientv3.Client
	user   string            // "" for the console's own client
	secret [sha256.Size]byte // the hash of the secret that scripts of this origin send besides the cookie
	began  time.Time
	ctx    context.Context // ends with the session
	end    context.CancelFunc
	sample *sampler
	saves  saves // its exports

	owner *sessions
	used  time.Time // guarded by owner.mu, as are the following
	users int
	ended bool
}

// sessions are a console's sessions, by the hash of their cookie: a look into memory, or a
// comparison that stops early, reveals nothing useful.
type sessions struct {
	c  *Console
	mu sync.Mutex
	// all is nil once closed.
	all    map[[sha256.Size]byte]*session
	common *session // that of an open console
	sweeps bool     // the sweeper runs
}

func (ss *sessions) init(c *Console) {
	ss.c = c
	ss.all = make(map[[sha256.Size]byte]*session)
	if c.open {
		ss.common = ss.make(c.client, "")
	}
}

func (ss *sessions) make(client *clientv3.Client, user string) *session {
	s := &session{client: client, user: user, began: time.Now(), used: time.Now(), owner: ss}
	s.ctx, s.end = context.WithCancel(ss.c.group.Context())
	s.sample = &ss.c.common
	if user != "" {
		s.sample = &sampler{}
		s.sample.init(ss.c, client, s.ctx)
	}
	return s
}

// random returns a secret of 24 bytes.
func random() string {
	raw := make([]byte, 24)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// add makes a session and returns its cookie's value and its secret; "" if the console is closed.
// The session owns the client if user is not empty.
func (ss *sessions) add(client *clientv3.Client, user string) (id, secret string) {
	id, secret = random(), random()
	s := ss.make(client, user)
	s.secret = sha256.Sum256([]byte(secret))
	ss.mu.Lock()
	if ss.all == nil {
		ss.mu.Unlock()
		s.end()
		s.release()
		return "", ""
	}
	gone := ss.makeRoom(user)
	ss.all[sha256.Sum256([]byte(id))] = s
	sweep := !ss.sweeps
	ss.sweeps = true
	ss.mu.Unlock()
	release(gone)
	if sweep {
		ss.c.group.Go(ss.sweep)
	}
	return id, secret
}

// makeRoom ends the session that has not been used for longest: of the user, if they have
// userSessions, or else of the user with the most sessions, if there are maxSessions. The caller
// holds mu and releases the returned sessions.
func (ss *sessions) makeRoom(user string) []*session {
	count := make(map[string]int)
	most := user
	for _, s := range ss.all {
		if count[s.user]++; count[s.user] > count[most] {
			most = s.user
		}
	}
	switch {
	case count[user] >= userSessions:
		most = user
	case len(ss.all) < maxSessions:
		return nil
	}
	var oldest [sha256.Size]byte
	for id, s := range ss.all {
		if o := ss.all[oldest]; s.user == most && (o == nil || s.used.Before(o.used)) {
			oldest = id
		}
	}
	return ss.drop(oldest)
}

// drop ends a session; the caller holds mu and releases the returned sessions.
func (ss *sessions) drop(id [sha256.Size]byte) []*session {
	s := ss.all[id]
	if s == nil {
		return nil
	}
	delete(ss.all, id)
	s.ended = true
	s.end()
	if s.users > 0 {
		return nil // the last leave releases it
	}
	return []*session{s}
}

// release closes clients, which takes a moment, so the caller must not hold the lock.
func release(list []*session) {
	for _, s := range list {
		s.release()
	}
}

func (s *session) release() {
	if s.user != "" {
		_ = s.client.Close()
	}
}

// get returns the session of a cookie's value and a secret; nil if there is none. The caller holds
// mu.
func (ss *sessions) get(id, secret string) *session {
	if ss.common != nil {
		return ss.common
	}
	s := ss.all[sha256.Sum256([]byte(id))]
	given := sha256.Sum256([]byte(secret))
	if s == nil || subtle.ConstantTimeCompare(s.secret[:], given[:]) != 1 {
		return nil
	}
	return s
}

// byCookie returns the session of a cookie's value, entered; nil if there is none. It is only for
// requests with a ticket.
func (ss *sessions) byCookie(id string) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.common
	if s == nil {
		s = ss.all[sha256.Sum256([]byte(id))]
	}
	return s.enter()
}

// find returns the session of a cookie's value and a secret, entered; nil if there is none.
func (ss *sessions) find(id, secret string) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.get(id, secret).enter()
}

// enter begins one use of a session, which leave ends; it returns nil if the session has ended, or
// is nil. The caller holds owner.mu.
func (s *session) enter() *session {
	if s == nil || s.expired(time.Now()) {
		return nil
	}
	s.users++
	s.used = time.Now()
	return s
}

func (s *session) expired(now time.Time) bool {
	if s == s.owner.common {
		return s.ended
	}
	return s.ended || now.Sub(s.began) > sessionAge || s.users == 0 && now.Sub(s.used) > sessionIdle
}

// leave ends one use of a session.
func (s *session) leave() {
	s.owner.mu.Lock()
	s.users--
	s.used = time.Now()
	last := s.ended && s.users == 0
	s.owner.mu.Unlock()
	if last {
		s.release()
	}
}

// sweep ends expired sessions.
func (ss *sessions) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			var gone []*session
			ss.mu.Lock()
			for id, s := range ss.all {
				if s.expired(now) {
					gone = append(gone, ss.drop(id)...)
				}
			}
			ss.mu.Unlock()
			release(gone)
		case <-ctx.Done():
			return
		}
	}
}

// remove ends the session of a cookie's value and a secret.
func (ss *sessions) remove(id, secret string) {
	var gone []*session
	ss.mu.Lock()
	if s := ss.get(id, secret); s != nil && s != ss.common {
		gone = ss.drop(sha256.Sum256([]byte(id)))
	}
	ss.mu.Unlock()
	release(gone)
}

func (ss *sessions) close() {
	var gone []*session
	ss.mu.Lock()
	for id := range ss.all {
		gone = append(gone, ss.drop(id)...)
	}
	if ss.common != nil {
		ss.common.ended = true
		ss.common.end()
	}
	ss.all = nil
	ss.mu.Unlock()
	release(gone)
}

// enter returns a request's session. The caller leaves it.
func (c *Console) enter(r *http.Request) (*session, error) {
	if s := c.sessions.find(c.cookieOf(r), r.Header.Get(secretHeader)); s != nil {
		return s, nil
	}
	return nil, &apiError{Status: http.StatusUnauthorized, Code: "sign_in", Message: "sign in first"}
}

func (c *Console) cookieOf(r *http.Request) string {
	cookie, err := r.Cookie(c.cookie)
	if err != nil {
		return ""
	}
	return cookie.Value
}
