package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// stepTime bounds a step: a defragmentation works through a database.
	stepTime = 10 * time.Minute
	// compactTime is how long the removal of old data is waited for; it goes on without anybody
	// waiting.
	compactTime = time.Minute
	// progressEvery is how often a page hears that a step goes on, and is found to be gone.
	progressEvery = time.Second
)

// progress is a line that a page reads while an operation runs. The last one has End; without it
// the page does not know how it ended.
type progress struct {
	Step  int    `json:"step"`
	State string `json:"state,omitempty"` // running, done, failed; "" for nothing new
	Note  string `json:"note,omitempty"`
	End   bool   `json:"end,omitempty"`
	Error string `json:"error,omitempty"` // why it ended early
}

// lookAt asks what a plan is made of.
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

// postOperation does what a plan says, if that is what would be planned now, and tells how far it
// is. Of a console's operations one runs at a time. A step that has begun goes on to its end when
// the page is closed; the next one does not begin.
func (c *Console) postOperation(w http.ResponseWriter, r *request) {
	err := c.operate(w, r)
	if err != nil {
		fail(w, written(r.client, err))
	}
}

// operate returns an error only as long as nothing was sent.
func (c *Console) operate(w http.ResponseWriter, r *request) error {
	var op operation
	if err := decode(r.Request, &op); err != nil {
		return err
	}
	if !c.operating.TryLock() {
		return refuse("another operation of this console is under way; wait for its end and look again")
	}
	defer c.operating.Unlock()
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	p, err := makePlan(ctx, r.client, op)
	if err != nil {
		return err
	}
	if op.Seen == "" || p.Operation.Seen != op.Seen {
		return conflict("the cluster has changed since it was shown; nothing was done", nil)
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

func (o *writer) line(p progress) {
	text, _ := json.Marshal(p) // texts and numbers always can be
	o.text(string(text) + "\n")
}

// run does the steps one after the other.
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

// wait does one step in a goroutine and tells the page that it goes on.
func (p *plan) wait(r *request, i int, out *writer) (note string, err error) {
	ctx, cancel := context.WithTimeout(r.session.ctx, stepTime)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		note, err = p.do(ctx, r.client, p.targets[i])
	}()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return note, err
		case <-tick.C:
			out.line(progress{Step: i})
		}
	}
}

// nextMember is the next to be defragmented among those that are left: not the leader, as long as
// there are others, and none while a member does not answer.
func (p *plan) nextMember(r *request, left []int) (int, error) {
	ctx, cancel := context.WithTimeout(r.session.ctx, callTimeout)
	defer cancel()
	st, err := lookAt(ctx, r.client)
	if err != nil {
		return 0, err
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

// do does one step and says what came of it.
func (p *plan) do(ctx context.Context, c *clientv3.Client, target string) (string, error) {
	op := p.Operation
	long := clientv3.WithFailFast(ctx)
	ctx, cancel := context.WithTimeout(long, callTimeout)
	defer cancel()
	member, _ := strconv.ParseUint(target, 16, 64) // 0 where the step has no member
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
		of, _ := strconv.ParseUint(id, 10, 64) // as the plan wrote them
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
			"its id is %s; start it with an empty directory, a --name, --initial-cluster-state existing and --initial-cluster %s",
			idName(got.Member.ID),
			initialCluster(got.Members, got.Member.ID),
		), nil
	case "member-promote":
		_, err := c.MemberPromote(ctx, member)
		return "it votes", err
	default: // member-remove: plans have no others
		_, err := c.MemberRemove(ctx, member)
		return "it is removed", err
	}
}

// initialCluster is the flag that names the others to a new member.
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
	st, err := lookAt(ctx, c)
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
