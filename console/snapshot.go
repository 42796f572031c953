package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/internal/site"
)

const (
	// ticketTime is how long a ticket is valid before its use.
	ticketTime = 30 * time.Second
	// ticketsMost is how many unused tickets there may be; the oldest is dropped then.
	ticketsMost = 64
	// snapshotSilence is how long a member may send nothing during a snapshot: longer than its
	// pauses, and short enough that the user still waits.
	snapshotSilence = 15 * time.Second
)

// tickets let a browser download something once: for a download it sends a cookie, but no secret. A
// ticket is valid only with its session's cookie, so that an address in a log or a history is of no
// use.
type tickets struct {
	mu  sync.Mutex // guards what follows
	all []ticket   // the oldest first
}

type ticket struct {
	hash    [sha256.Size]byte
	session *session
	until   time.Time
}

func (ts *tickets) issue(s *session) string {
	text := random()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.all) >= ticketsMost {
		ts.all = append([]ticket(nil), ts.all[1:]...)
	}
	ts.all = append(ts.all, ticket{sha256.Sum256([]byte(text)), s, time.Now().Add(ticketTime)})
	return text
}

// use returns the session of a ticket, which is not valid any more then; nil if there is none.
func (ts *tickets) use(text string) *session {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	sum := sha256.Sum256([]byte(text))
	for i, t := range ts.all {
		if t.hash == sum {
			ts.all = append(ts.all[:i:i], ts.all[i+1:]...)
			if time.Now().After(t.until) {
				return nil
			}
			return t.session
		}
	}
	return nil
}

// postSnapshot returns a ticket for a snapshot, if this user may have one.
func postSnapshot(r *request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	got, err := r.client.SnapshotWithVersion(ctx)
	if err == nil {
		_, err = got.Snapshot.Read(make([]byte, 1))
		_ = got.Snapshot.Close()
	}
	if err != nil {
		return nil, err
	}
	return struct {
		Ticket string `json:"ticket"`
	}{r.session.owner.c.tickets.issue(r.session)}, nil
}

var errTicket = &apiError{
	Status:  http.StatusForbidden,
	Code:    "ticket",
	Message: "this address was used before, or is not for this session; ask for a new one",
}

// getSnapshot sends a snapshot. If that fails, it breaks the connection, so that the browser does
// not take a part for the whole.
func (c *Console) getSnapshot(w http.ResponseWriter, r *http.Request) {
	if site.Foreign(r) {
		fail(w, errForeign)
		return
	}
	of := c.tickets.use(r.URL.Query().Get("ticket"))
	s := c.sessions.byCookie(c.cookieOf(r))
	if s == nil {
		fail(w, errTicket)
		return
	}
	defer s.leave()
	if of != s {
		fail(w, errTicket)
		return
	}
	if err := c.streams.take(s.user); err != nil {
		fail(w, err)
		return
	}
	defer c.streams.give(s.user)
	req := &request{Request: r, session: s, client: s.client}
	if err := req.begin("snapshot", "all keys"); err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(nil) })() // the download ends with the session
	silence := time.AfterFunc(snapshotSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	why := func(err error) error { // reports silence as the reason
		if err != nil && context.Cause(ctx) == errSilent {
			return errSilent
		}
		return err
	}
	got, err := s.client.SnapshotWithVersion(ctx)
	if err != nil {
		err = why(err)
		req.end(err)
		fail(w, explain(s.client, err))
		return
	}
	defer got.Snapshot.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="etcd-`+time.Now().UTC().Format("20060102-150405")+`.db"`)
	out := &writer{w: w, control: http.NewResponseController(w)}
	err = why(sendSnapshot(out, &watched{got.Snapshot, silence}))
	if err != nil {
		_ = out.control.SetWriteDeadline(time.Now().Add(-time.Second)) // so that the end of the answer cannot be sent
	}
	req.end(err)
}

var errSilent = &apiError{
	Status:  http.StatusGatewayTimeout,
	Code:    "silent",
	Message: "the member has sent nothing for " + snapshotSilence.String() + ": the snapshot is not whole",
}

// watched runs a timer during each read.
type watched struct {
	io.Reader
	alarm *time.Timer
}

func (r *watched) Read(p []byte) (int, error) {
	r.alarm.Reset(snapshotSilence)
	n, err := r.Reader.Read(p)
	r.alarm.Stop()
	return n, err
}

var errTorn = errors.New("the snapshot is not whole")

// sendSnapshot copies a snapshot. It sends the last bytes, the digest of the others, only if they
// are right.
func sendSnapshot(out *writer, from io.Reader) error {
	var (
		sum  hash.Hash = sha256.New()
		buf            = make([]byte, 64<<10)
		tail []byte    // the latest bytes, which may be the digest
	)
	for {
		n, err := from.Read(buf)
		tail = append(tail, buf[:n]...)
		if ready := len(tail) - sha256.Size; ready > 0 {
			sum.Write(tail[:ready])
			if out.text(string(tail[:ready])); out.err != nil {
				return out.err
			}
			tail = append(tail[:0], tail[ready:]...)
		}
		switch {
		case err == io.EOF && bytes.Equal(tail, sum.Sum(nil)):
			out.text(string(tail))
			return out.err
		case err == io.EOF:
			return errTorn
		case err != nil:
			return err
		}
	}
}
