package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// operation is a change of the cluster as a whole. A page requests its plan, shows it, and sends
// the operation back with a seal of what the plan is based on: if that has changed meanwhile,
// nothing is done.
type operation struct {
	Action   string   `json:"action"`
	Member   string   `json:"member,omitempty"`
	Revision int64    `json:"revision,omitempty"`
	URLs     []string `json:"urls,omitempty"`
	Learner  bool     `json:"learner,omitempty"`
	Seen     string   `json:"seen,omitempty"`
}

// plan is what an operation will do.
type plan struct {
	Operation operation `json:"operation"` // to be sent back
	Title     string    `json:"title"`
	Effects   []string  `json:"effects"`
	Warnings  []string  `json:"warnings,omitempty"`
	Steps     []string  `json:"steps"`

	targets []string // the target of each step: a member's id, or an alarm
}

// clusterState is the state that a plan is based on.
type clusterState struct {
	revision int64
	leader   string
	members  []*pb.Member // as the whole cluster agrees on them
	live     map[string]member
	alarms   []*pb.AlarmMember
}

func (st *clusterState) find(id string) *pb.Member {
	for _, m := range st.members {
		if idName(m.ID) == id {
			return m
		}
	}
	return nil
}

// title returns a member's name for people.
func title(m *pb.Member) string {
	if m.Name == "" {
		return "the member " + idName(m.ID) + " (" + strings.Join(m.PeerURLs, ", ") + ")"
	}
	return m.Name + " (" + idName(m.ID) + ")"
}

// voters returns how many members vote, and how many of them answer; it leaves out the member
// without.
func (st *clusterState) voters(without string) (all, live int) {
	for _, m := range st.members {
		if id := idName(m.ID); !m.IsLearner && id != without {
			all++
			if st.live[id].Up {
				live++
			}
		}
	}
	return all, live
}

// down returns the members that do not answer.
func (st *clusterState) down() (names []string) {
	for _, m := range st.members {
		if !st.live[idName(m.ID)].Up {
			names = append(names, title(m))
		}
	}
	return names
}

func refuse(format string, args ...any) error {
	return &apiError{Status: http.StatusConflict, Code: "refused", Message: fmt.Sprintf(format, args...)}
}

// planners has all operations.
var planners = map[string]func(*plan, *clusterState) error{
	"compact": planCompact, "defragment": planDefragment, "disarm": planDisarm, "move-leader": planMoveLeader,
	"member-add": planAdd, "member-promote": planPromote, "member-remove": planRemove,
}

// planFor returns the plan of an operation, or the reason why it is refused. It makes no requests.
func planFor(op operation, st *clusterState) (*plan, error) {
	p := &plan{Operation: op}
	planner, ok := planners[op.Action]
	if !ok {
		return nil, badRequest("there is no operation " + printable(op.Action))
	}
	if err := planner(p, st); err != nil {
		return nil, err
	}
	p.Operation.Seen = p.seal(st)
	return p, nil
}

// seal returns text that changes when what the plan is based on does. It leaves out the size of the
// data, which is shown but changes all the time.
func (p *plan) seal(st *clusterState) string {
	op := p.Operation
	op.Seen = ""
	var members []string
	for _, m := range st.members {
		members = append(members, fmt.Sprint(m.ID, m.Name, m.IsLearner, m.PeerURLs, st.live[idName(m.ID)].Up))
	}
	text, _ := json.Marshal([]any{op, len(p.Warnings), p.targets, members, st.leader}) // texts can always be encoded
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (p *plan) step(target, format string, args ...any) {
	p.targets, p.Steps = append(p.targets, target), append(p.Steps, fmt.Sprintf(format, args...))
}

func planCompact(p *plan, st *clusterState) error {
	rev := p.Operation.Revision
	if rev == 0 {
		rev = st.revision
	}
	if rev < 0 || rev > st.revision {
		return badRequest(
			"the cluster is at revision " + strconv.FormatInt(st.revision, 10) + "; there is none after it",
		)
	}
	p.Operation.Revision = rev
	p.Title = fmt.Sprintf("Compact the history before revision %d?", rev)
	p.Effects = []string{
		"All older revisions of all keys are removed from all members, for good. The present values stay.",
		"Watches that ask for an older revision fail, and their programs must read anew.",
		"The space becomes free for new data; defragmenting shrinks the files.",
	}
	p.step("", "Compact, and wait until the data is removed")
	return nil
}

func planDefragment(p *plan, st *clusterState) error {
	if down := st.down(); len(down) > 0 {
		return refuse("not while a member does not answer, since one more would be busy: %s", strings.Join(down, ", "))
	}
	p.Title = "Defragment all members?"
	p.Effects = []string{
		"One member after the other, the leader last, gives unused space back to its disk. It answers nothing " +
			"meanwhile: about a second for each 100 MB.",
		"It stops before the next member if one does not answer. If this page is closed, no further member begins.",
	}
	if len(st.members) < 3 {
		p.Warnings = append(p.Warnings, "With fewer than three members nothing is written while one of them is busy.")
	}
	for _, leads := range []bool{false, true} {
		for _, m := range st.members {
			id := idName(m.ID)
			if s := st.live[id]; (id == st.leader) == leads {
				role := ""
				if leads {
					role = ", the leader"
				}
				p.step(id, "%s%s: %d of %d bytes are in use", title(m), role, s.InUse, s.Size)
			}
		}
	}
	return nil
}

func planDisarm(p *plan, st *clusterState) error {
	if len(st.alarms) == 0 {
		return refuse("there is no alarm")
	}
	p.Title = "Disarm the alarms?"
	p.Effects = []string{"The cluster takes writes again. If the cause is still there, the alarm comes back."}
	for _, a := range st.alarms {
		name := idName(a.MemberID)
		if m := st.find(name); m != nil {
			name = title(m)
		}
		if s := st.live[idName(a.MemberID)]; a.Alarm == pb.AlarmType_NOSPACE && s.Quota > 0 && s.Size >= s.Quota {
			p.Warnings = append(
				p.Warnings,
				fmt.Sprintf(
					"The database of %s has %d bytes, its quota is %d: compact and defragment first.",
					name,
					s.Size,
					s.Quota,
				),
			)
		}
		if a.Alarm == pb.AlarmType_CORRUPT {
			p.Warnings = append(
				p.Warnings,
				fmt.Sprintf(
					"The data of %s differs from the others'. Replace that member first: disarming lets clients read "+
						"wrong data.",
					name,
				),
			)
		}
		p.step(fmt.Sprintf("%d/%d", a.MemberID, a.Alarm), "%s of %s", a.Alarm, name)
	}
	return nil
}

// target returns the member that an operation names.
func (p *plan) target(st *clusterState) (*pb.Member, error) {
	m := st.find(p.Operation.Member)
	if m == nil {
		return nil, &apiError{
			Status:  http.StatusNotFound,
			Code:    "NotFound",
			Message: "there is no member " + printable(p.Operation.Member) + " (any more)",
		}
	}
	return m, nil
}

func planMoveLeader(p *plan, st *clusterState) error {
	m, err := p.target(st)
	switch {
	case err != nil:
		return err
	case m.IsLearner:
		return refuse("%s is a learner, which cannot lead", title(m))
	case p.Operation.Member == st.leader:
		return refuse("%s is the leader", title(m))
	case !st.live[p.Operation.Member].Up:
		return refuse("%s does not answer", title(m))
	}
	from := st.leader
	if l := st.find(st.leader); l != nil {
		from = title(l)
	}
	p.Title = "Move the leadership?"
	p.Effects = []string{
		fmt.Sprintf("%s hands the leadership to %s.", from, title(m)),
		"Writes wait for a moment meanwhile. Nothing is lost.",
	}
	p.step(p.Operation.Member, "%s becomes the leader", title(m))
	return nil
}

func planAdd(p *plan, st *clusterState) error {
	if len(p.Operation.URLs) == 0 {
		return badRequest("its peer URL is needed: the address at which the other members reach it")
	}
	for _, text := range p.Operation.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" ||
			u.Path != "" {
			return badRequest(printable(text) + " is not a peer URL, like https://10.0.0.4:2380")
		}
		for _, m := range st.members {
			for _, other := range m.PeerURLs {
				if other == text {
					return refuse("%s is at %s already", title(m), text)
				}
			}
		}
	}
	where := strings.Join(p.Operation.URLs, ", ")
	all, live := st.voters("")
	if p.Operation.Learner {
		p.Title = "Add a learner?"
		p.Effects = []string{
			"A member at " + where +
				" receives all data, and has no vote until it is promoted. The quorum stays as it is.",
		}
	} else {
		p.Title = "Add a voting member?"
		p.Effects = []string{fmt.Sprintf("A member at %s votes from now on, although it has not started: the cluster "+
			"then needs %d of %d members, not %d of %d.", where, (all+1)/2+1, all+1, all/2+1, all)}
		if live < (all+1)/2+1 {
			return refuse("%d of %d voting members answer: with one more that has not started the cluster would have "+
				"no quorum; add it as a learner, or mend the others first", live, all)
		}
		p.Warnings = []string{"A learner is safer: it is promoted once it has all data."}
	}
	p.step("", "Add the member at %s", where)
	return nil
}

func planPromote(p *plan, st *clusterState) error {
	m, err := p.target(st)
	switch {
	case err != nil:
		return err
	case !m.IsLearner:
		return refuse("%s votes already", title(m))
	case !st.live[p.Operation.Member].Up:
		return refuse("%s does not answer", title(m))
	}
	all, _ := st.voters("")
	p.Title = "Promote the learner?"
	p.Effects = []string{
		fmt.Sprintf(
			"%s votes from now on: the cluster then needs %d of %d members, not %d of %d.",
			title(m),
			(all+1)/2+1,
			all+1,
			all/2+1,
			all,
		),
		"etcd refuses this as long as the learner lacks much of the data.",
	}
	p.step(p.Operation.Member, "%s becomes a voting member", title(m))
	return nil
}

func planRemove(p *plan, st *clusterState) error {
	m, err := p.target(st)
	if err != nil {
		return err
	}
	all, live := st.voters(p.Operation.Member)
	if all == 0 {
		return refuse("%s is the only voting member", title(m))
	}
	if live < all/2+1 {
		return refuse("%d of the %d other members answer, which is no quorum: mend one of them first", live, all)
	}
	p.Title = "Remove this member?"
	p.Effects = []string{
		fmt.Sprintf(
			"%s leaves the cluster, and its process ends. Its data is useless then; to come back it must be added "+
				"anew, with an empty directory.",
			title(m),
		),
		fmt.Sprintf("The cluster then has %d voting members and needs %d of them.", all, all/2+1),
	}
	if p.Operation.Member == st.leader {
		p.Warnings = append(p.Warnings,
			"It is the leader: writes wait until there is a new one. Move the leadership first.")
	}
	if all%2 == 0 && !m.IsLearner {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d voting members survive no more failures than %d.", all, all-1))
	}
	p.step(p.Operation.Member, "Remove %s", title(m))
	return nil
}
