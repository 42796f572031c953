package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// stepTime bounds a step: a defragmentation reads a whole database.
	stepTime = 10 * time.Minute
	// compactTime is how long a step waits for the removal of old data, which goes on without it.
	compactTime = time.Minute
	// progressEvery is how often a page gets a line while a step runs, which also shows whether the
	// page is still there.
	progressEvery = time.Second
	// lookEvery is how often the members that a running step needs are checked.
	lookEvery = 2 * time.Second
	// lostTime is how long a step goes on while they do not answer: longer than elections take.
	lostTime = 10 * time.Second
)

// progress is a line for the page while an operation runs. The last line has End; without it the
// page does not know the outcome.
type progress struct {
	Step  int    `json:"step"`
	State string `json:"state,omitempty"` // running, done or failed; "" for no change
	Note  string `json:"note,omitempty"`
	End   bool   `json:"end,omitempty"`
	Error string `json:"error,omitempty"` // the reason why it ended early
}

// lookAt reads the state that a plan is based on.
func lookAt(ctx context.Context, client *clientv3.Client) (*clusterState, error) {
	members, err := client.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	alarms, err := client.AlarmList(ctx)
	if err != nil {
		return nil, err
	}
	o := survey(ctx, client, list(ctx, client))
	st := &clusterState{
		revision: o.Revision,
		leader:   o.Leader,
		members:  members.Members,
		live:     make(map[string]member),
		alarms:   alarms.Alarms,
	}
	for _, m := range o.Members {
		if was := st.live[m.ID]; m.ID != "" && !was.Up {
			st.live[m.ID] = m
		}
	}
	return st, nil
}

func makePlan(ctx context.Context, client *clientv3.Client, op operation) (*plan, error) {
	st, err := lookAt(ctx, client)
	if err != nil {
		return nil, err
	}
	return planFor(op, st)
}

func postPlan(r *request) (any, error) {
	var op operation
	if err := decode(r.Request, &op); err != nil {
		return nil, err
	}
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	return makePlan(ctx, r.client, op)
}

// postOperation carries out an operation, if a plan made now would be the same, and reports its
// progress. A console runs one operation at a time. When the page is closed, a running step
// continues to its end, but the next one does not begin.
func (c *Console) postOperation(w http.ResponseWriter, r *request) {
	err := c.operate(w, r)
	if err != nil {
		fail(w, written(r.client, err))
	}
}

// operate returns an error only before it has sent anything.
func (c *Console) operate(w http.ResponseWriter, r *request) error {
	var op operation
	if err := decode(r.Request, &op); err != nil {
		return err
	}
	if !c.operating.TryLock() {
		return c.operator(refuse("another operation of this console is under way; wait for its end and look again"))
	}
	defer c.operating.Unlock()
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	p, err := makePlan(ctx, r.client, op)
	if err != nil {
		return c.operator(err)
	}
	if op.Seen == "" || p.Operation.Seen != op.Seen {
		return c.operator(conflict("the cluster has changed since it was shown; nothing was done", nil))
	}
	if err := r.begin(op.Action, auditOf([]byte(strings.Join(p.Steps, "; ")))); err != nil {
		return err
	}
	out := &writer{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no")
	notes, err := p.run(r, out)
	r.change.After = auditOf([]byte(strings.Join(notes, "; ")))
	r.end(err)
	last := progress{End: true}
	if err != nil {
		last.Error = written(r.client, err).Error()
	}
	out.line(last)
	return nil
}

// operator adds to the refusal of an operation the user who made the latest one.
func (c *Console) operator(err error) error {
	var own *apiError
	if !errors.As(err, &own) {
		return err
	}
	with := *own
	with.By = c.audit.latest(func(ch *Change) bool { return planners[ch.Action] != nil && ch.Outcome != Failed })
	if with.By != "" {
		with.Message += ". Latest operation here: " + with.By
	}
	return &with
}

func (o *writer) line(p progress) {
	text, _ := json.Marshal(p) // texts and numbers can always be encoded
	o.text(string(text) + "\n")
}

// run runs the steps one after the other.
func (p *plan) run(r *request, out *writer) (notes []string, err error) {
	left := make([]int, len(p.Steps))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		if r.Context().Err() != nil || out.err != nil {
			return notes, &apiError{
				Status:  http.StatusConflict,
				Code:    "closed_page",
				Message: "the page was closed: the remaining steps were not begun",
			}
		}
		at := 0
		if p.Operation.Action == "defragment" {
			if at, err = p.nextMember(r, left); err != nil {
				return notes, err
			}
		}
		i := left[at]
		left = append(left[:at:at], left[at+1:]...)
		out.line(progress{Step: i, State: "running"})
		note, err := p.wait(r, i, out)
		if err != nil {
			out.line(progress{Step: i, State: "failed", Note: written(r.client, err).Error()})
			return notes, err
		}
		notes = append(notes, note)
		out.line(progress{Step: i, State: "done", Note: note})
	}
	return notes, nil
}

// wait runs one step in a goroutine and reports to the page that it goes on. It gives the step up
// when the members that it needs have not answered for lostTime.
func (p *plan) wait(r *request, i int, out *writer) (note string, err error) {
	ctx, cancel := context.WithTimeout(r.session.ctx, stepTime)
	var both sync.WaitGroup
	defer both.Wait()
	defer cancel()
	done, away := make(chan struct{}), make(chan time.Duration)
	both.Go(func() {
		defer close(done)
		if p.Operation.Action == "defragment" {
			defer r.session.owner.c.defragmenting.begin(p.targets[i])()
		}
		note, err = p.do(ctx, r.client, p.targets[i])
	})
	both.Go(func() { p.lookout(ctx, r.client, p.targets[i], away) })
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return note, err
		case d := <-away:
			if d < lostTime {
				out.line(progress{Step: i, State: "running", Note: p.missing(d)})
				continue
			}
			cancel()
			<-done
			if err != nil {
				err = p.gaveUp(err, d)
			}
			return note, err
		case <-tick.C:
			out.line(progress{Step: i})
		}
	}
}

// lookout sends how long the members that a step needs have not answered, after each failed check.
func (p *plan) lookout(ctx context.Context, c *clientv3.Client, target string, away chan<- time.Duration) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		begin := time.Now()
		if p.answers(ctx, c, target) {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = begin
		}
		select {
		case <-ctx.Done():
			return
		case away <- time.Since(since):
		}
	}
}

// answers reports whether the members that a step needs are there: a quorum, or for a
// defragmentation, which needs no quorum and blocks requests to the member, a member whose process
// is alive.
func (p *plan) answers(ctx context.Context, c *clientv3.Client, target string) bool {
	if p.Operation.Action != "defragment" {
		ctx, cancel := context.WithTimeout(clientv3.WithFailFast(ctx), callTimeout)
		defer cancel()
		_, err := c.MemberList(ctx)
		return err == nil
	}
	id, _ := strconv.ParseUint(target, 16, 64) // the plan has written it in this form
	for _, m := range c.MemberStates() {
		if m.ID == id && (m.State == clientv3.MemberEjected || m.State == clientv3.MemberConnecting) {
			up, _, _ := ask(ctx, c, m.Endpoint)
			return up.Up
		}
	}
	return true
}

// missing is the message while the members that a step needs do not answer.
func (p *plan) missing(d time.Duration) string {
	who := "no quorum of the members has"
	if p.Operation.Action == "defragment" {
		who = "the member has not"
	}
	return fmt.Sprintf("%s answered for %s", who, d.Round(time.Second))
}

// gaveUp returns the error of a step that was given up.
func (p *plan) gaveUp(err error, d time.Duration) error {
	e := &apiError{Status: http.StatusGatewayTimeout, Code: "DeadlineExceeded", Message: "not done: " + p.missing(d)}
	if clientv3.OutcomeUnknown(err) {
		e.Code, e.Message = outcomeUnknown, "it is not known whether this was done, or will be: "+p.missing(d)
	}
	return e
}

// nextMember returns the next of the remaining members to defragment: the leader last, and none
// while a member does not answer.
func (p *plan) nextMember(r *request, left []int) (int, error) {
	ctx, cancel := context.WithTimeout(r.session.ctx, callTimeout)
	defer cancel()
	st, err := lookAt(ctx, r.client)
	if err != nil {
		return 0, refuse("it stops here, since it is not known how the members are: %v", explain(r.client, err))
	}
	if down := st.down(); len(down) > 0 {
		return 0, refuse("it stops here, since a member does not answer: %s", strings.Join(down, ", "))
	}
	for at, i := range left {
		if p.targets[i] != st.leader {
			return at, nil
		}
	}
	return 0, nil
}

// do does one step and returns its result.
func (p *plan) do(ctx context.Context, c *clientv3.Client, target string) (string, error) {
	op := p.Operation
	long := clientv3.WithFailFast(ctx)
	ctx, cancel := context.WithTimeout(long, callTimeout)
	defer cancel()
	member, _ := strconv.ParseUint(target, 16, 64) // 0 for a step without a member
	switch op.Action {
	case "compact":
		ctx, cancel := context.WithTimeout(long, compactTime)
		defer cancel()
		_, err := c.Compact(ctx, op.Revision, clientv3.WithCompactPhysical())
		return "the history begins at revision " + strconv.FormatInt(op.Revision, 10), err
	case "defragment":
		return defragment(long, c, target)
	case "disarm":
		id, kind, _ := strings.Cut(target, "/")
		of, _ := strconv.ParseUint(id, 10, 64) // the plan has written it in this form
		alarm, _ := strconv.Atoi(kind)
		_, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: of, Alarm: pb.AlarmType(alarm)})
		return "disarmed", err
	case "move-leader":
		_, err := c.MoveLeader(ctx, member)
		return "it leads", err
	case "member-add":
		add := c.MemberAdd
		if op.Learner {
			add = c.MemberAddAsLearner
		}
		got, err := add(ctx, op.URLs)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf(
			"its id is %s; start it with an empty directory, a --name, --initial-cluster-state existing and "+
				"--initial-cluster %s",
			idName(got.Member.ID),
			initialCluster(got.Members, got.Member.ID),
		), nil
	case "member-promote":
		_, err := c.MemberPromote(ctx, member)
		return "it votes", err
	default: // member-remove, which is the only one left
		_, err := c.MemberRemove(ctx, member)
		if err != nil && clientv3.OutcomeUnknown(err) && isGone(long, c, member) {
			err = nil // the member that was asked has stopped before it answered
		}
		return "it is removed", err
	}
}

// isGone reports whether the cluster says that there is no such member.
func isGone(ctx context.Context, c *clientv3.Client, id uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.MemberList(ctx)
	return err == nil && !slices.ContainsFunc(r.Members, func(m *pb.Member) bool { return m.ID == id })
}

// initialCluster returns the flag that tells a new member the others.
func initialCluster(members []*pb.Member, own uint64) string {
	var all []string
	for _, m := range members {
		name := m.Name
		if m.ID == own {
			name = "NAME"
		}
		for _, u := range m.PeerURLs {
			all = append(all, name+"="+u)
		}
	}
	return strings.Join(all, ",")
}

func defragment(ctx context.Context, c *clientv3.Client, id string) (string, error) {
	look, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	st, err := lookAt(look, c)
	if err != nil {
		return "", err
	}
	m := st.live[id]
	if m.Endpoint == "" {
		return "", refuse("it is not a member any more")
	}
	begin := time.Now()
	if _, err := c.Defragment(ctx, m.Endpoint); err != nil {
		return "", err
	}
	took := time.Since(begin).Round(time.Millisecond)
	after, _, _ := ask(ctx, c, m.Endpoint)
	if !after.Up {
		return "done in " + took.String() + "; it does not say how large it is", nil
	}
	return fmt.Sprintf("from %d to %d bytes in %s", m.Size, after.Size, took), nil
}
