package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// auditMost is how many changes are kept in memory, the latest ones.
	auditMost = 500
	// auditText is how many bytes of a value are logged.
	auditText = 1 << 10
)

// Outcome is the state of a change.
type Outcome string

const (
	// Asked: the change is about to be sent.
	Asked Outcome = "asked"
	// Done: the change was made.
	Done Outcome = "done"
	// Failed: the change was not made, or only in part.
	Failed Outcome = "failed"
	// Unknown: etcd did not answer whether the change was made.
	Unknown Outcome = "unknown"
)

// Change is a change, or an attempt to make one, through a console. Keys and values are text with
// all characters that are not graphic escaped as in Go; long ones are cut off, with their length.
type Change struct {
	ID      int64     `json:"id"` // the number of the change since the console's start
	Time    time.Time `json:"time"`
	User    string    `json:"user,omitempty"` // "" for sessions with the token, and in an open console
	From    string    `json:"from"`           // the address that the request came from
	Cluster string    `json:"cluster"`        // see WithName
	Action  string    `json:"action"`
	Target  string    `json:"target"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Outcome Outcome   `json:"outcome"`
	Error   string    `json:"error,omitempty"`
}

// AuditFunc records a change. It is called with Asked before the change is sent, and a second time
// with the outcome; several goroutines may call it at once. If the first call fails, the change is
// refused.
type AuditFunc func(Change) error

// WithAudit sets the function that records changes.
func WithAudit(f AuditFunc) Option {
	return func(c *Console) {
		if f == nil {
			c.mistaken("WithAudit", "the function is nil")
		}
		c.audit.record = f
	}
}

// WithName sets the name of the cluster that users see before they change it; without it they see
// its endpoints.
func WithName(cluster string) Option { return func(c *Console) { c.name = cluster } }

// audit keeps the latest changes and passes all of them on.
type audit struct {
	record AuditFunc // nil without WithAudit

	mu   sync.Mutex // guards what follows
	last int64
	kept []Change // the latest at the end
}

// note keeps a change in place of its earlier state, and records it.
func (a *audit) note(ch *Change) error {
	a.mu.Lock()
	if ch.ID == 0 {
		a.last++
		ch.ID = a.last
		a.kept = append(a.kept, *ch)
		if len(a.kept) >= 2*auditMost {
			a.kept = slices.Clone(a.kept[auditMost:])
		}
	} else if i, ok := slices.BinarySearchFunc(a.kept, ch.ID,
		func(c Change, id int64) int { return int(c.ID - id) }); ok {
		a.kept[i] = *ch
	}
	a.mu.Unlock()
	if a.record == nil {
		return nil
	}
	return a.record(*ch)
}

// begin records the change that a request is about to make. If that fails, the change must not be
// made.
func (r *request) begin(action, target string) error { return r.beginKnown(action, target, "", "") }

// beginKnown is begin for a change of which it is known what it changes: that is on record too if
// the console ends before the outcome is known.
func (r *request) beginKnown(action, target, before, after string) error {
	c := r.session.owner.c
	r.change = &Change{
		Time:    time.Now(),
		User:    r.session.user,
		From:    r.RemoteAddr,
		Cluster: c.clusterName(),
		Action:  action,
		Target:  target,
		Before:  before,
		After:   after,
		Outcome: Asked,
	}
	if err := c.audit.note(r.change); err != nil {
		r.change.Outcome, r.change.Error = Failed, "it could not be recorded: "+err.Error()
		_ = c.audit.note(r.change)
		r.change = nil
		return &apiError{
			Status:  http.StatusServiceUnavailable,
			Code:    "audit",
			Message: "nothing was changed, because the change cannot be recorded: " + err.Error(),
		}
	}
	return nil
}

// end records the outcome of the request's change, if it began one.
func (r *request) end(err error) {
	ch := r.change
	if ch == nil {
		return
	}
	r.change = nil
	ch.Outcome = Done
	if err != nil {
		ch.Outcome, ch.Error = Failed, auditOf([]byte(err.Error()))
		var own *apiError // our own refusal, or etcd's error in our form
		if errors.As(err, &own) && own.Code == outcomeUnknown || own == nil && clientv3.OutcomeUnknown(err) {
			ch.Outcome = Unknown
		}
	}
	_ = r.session.owner.c.audit.note(ch) // the change is made, and its first line is recorded
}

// blame adds to a conflict the user who made the latest change of the same target through this
// console. Other clients may have changed it too.
func (r *request) blame(err error) error {
	var own *apiError
	if r.change == nil || !errors.As(err, &own) || own.Code != "conflict" {
		return err
	}
	c := *own
	c.By = r.session.owner.c.audit.latest(func(ch *Change) bool {
		return ch.Target == r.change.Target && (ch.Outcome == Done || ch.Outcome == Unknown)
	})
	if c.By != "" {
		c.Message += ". Latest change here: " + c.By
	}
	return &c
}

// latest returns who made the latest change that matches, "" if there is none.
func (a *audit) latest(is func(*Change) bool) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ch := range slices.Backward(a.kept) {
		if is(&ch) {
			who := ch.User
			if who == "" {
				who = "somebody without a name"
			}
			return fmt.Sprintf("%s by %s from %s, %s ago", ch.Action, who, ch.From,
				time.Since(ch.Time).Round(time.Second))
		}
	}
	return ""
}

// auditOf returns a key or a value as the log shows it.
func auditOf(b []byte) string {
	q := strconv.QuoteToGraphic(string(b[:min(auditText, len(b))]))
	q = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	if len(b) > auditText {
		q += "… (" + strconv.Itoa(len(b)) + " bytes)"
	}
	return q
}

// clusterName returns the cluster's name.
func (c *Console) clusterName() string {
	if c.name != "" {
		return c.name
	}
	var all []string
	for _, ep := range c.client.Endpoints() {
		all = append(all, hostPort(ep))
	}
	return strings.Join(all, ", ")
}

// changeList is the changes, the latest first.
type changeList struct {
	Changes []Change `json:"changes"`
	Own     bool     `json:"own"` // only those of the user who asks
}

// getAudit shows users of etcd their own changes, since they may not see the values that others
// wrote. Root and sessions with the token see all.
func getAudit(r *request) (any, error) { return changesFor(r), nil }

// changesFor returns the changes that the request's user may see.
func changesFor(r *request) *changeList {
	user := r.session.user
	list := &changeList{Changes: []Change{}, Own: user != "" && user != "root"}
	a := &r.session.owner.c.audit
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ch := range slices.Backward(a.kept) {
		if len(list.Changes) < auditMost && (!list.Own || ch.User == user) {
			list.Changes = append(list.Changes, ch)
		}
	}
	return list
}
