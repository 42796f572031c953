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
	// auditMost changes are kept in memory, the latest ones.
	auditMost = 500
	// auditText bytes of a value go into the log.
	auditText = 1 << 10
)

// Outcome says how far a change is.
type Outcome string

const (
	// Asked: it is about to be sent.
	Asked Outcome = "asked"
	// Done: it was made.
	Done Outcome = "done"
	// Failed: it was not made, or not as a whole.
	Failed Outcome = "failed"
	// Unknown: etcd did not say whether it was made.
	Unknown Outcome = "unknown"
)

// Change is what somebody changed, or tried to change, through a console. Keys and values are text
// in which everything that is not graphic is escaped as in Go, of long ones the beginning and the
// length.
type Change struct {
	ID      int64     `json:"id"` // counts from the console's start
	Time    time.Time `json:"time"`
	User    string    `json:"user,omitempty"` // "" for who has the token, and in an open console
	From    string    `json:"from"`           // the address that the request came from
	Cluster string    `json:"cluster"`        // see WithName
	Action  string    `json:"action"`
	Target  string    `json:"target"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Outcome Outcome   `json:"outcome"`
	Error   string    `json:"error,omitempty"`
}

// AuditFunc records a change. It is called before the change is sent, with Asked, and a second time
// with what came of it; from several goroutines at once. If the first call fails the change is
// refused.
type AuditFunc func(Change) error

// WithAudit says who records changes.
func WithAudit(f AuditFunc) Option { return func(c *Console) { c.audit.record = f } }

// WithName is what the cluster is called where somebody is about to change it; its endpoints if not
// given.
func WithName(cluster string) Option { return func(c *Console) { c.name = cluster } }

// audit keeps the latest changes and hands all of them on.
type audit struct {
	record AuditFunc // nil if nobody does

	mu   sync.Mutex // guards what follows
	last int64
	kept []Change // the latest last
}

// note keeps a change in place of what was kept of it, and records it.
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

// begin records what a request is about to do. Without it nothing may be done.
func (r *request) begin(action, target string) error {
	c := r.session.owner.c
	r.change = &Change{
		Time:    time.Now(),
		User:    r.session.user,
		From:    r.RemoteAddr,
		Cluster: c.clusterName(),
		Action:  action,
		Target:  target,
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

// end records what came of what the request began, if it began something.
func (r *request) end(err error) {
	ch := r.change
	if ch == nil {
		return
	}
	r.change = nil
	ch.Outcome = Done
	if err != nil {
		ch.Outcome, ch.Error = Failed, auditOf([]byte(err.Error()))
		var own *apiError // a refusal of ours, or what we made of etcd's error
		if errors.As(err, &own) && own.Code == outcomeUnknown || own == nil && clientv3.OutcomeUnknown(err) {
			ch.Outcome = Unknown
		}
	}
	_ = r.session.owner.c.audit.note(ch) // the first line is there, and the change is made
}

// blame tells whoever lost against another change who made the latest one of the same target
// through this console. Others may have changed it too, past the console.
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

// latest says who made the latest change of some kind, "" if nobody did.
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

// auditOf is a key or a value in the log.
func auditOf(b []byte) string {
	q := strconv.QuoteToGraphic(string(b[:min(auditText, len(b))]))
	q = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	if len(b) > auditText {
		q += "… (" + strconv.Itoa(len(b)) + " bytes)"
	}
	return q
}

// clusterName is what the cluster is called.
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

// changeList is what was changed, the latest first.
type changeList struct {
	Changes []Change `json:"changes"`
	Own     bool     `json:"own"` // only those of the user who asks
}

// getAudit shows users of etcd what they changed themselves, since they may not see what others
// wrote; root and who has the token all.
func getAudit(r *request) (any, error) { return changesFor(r), nil }

// changesFor is what who asks may see of the changes.
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
