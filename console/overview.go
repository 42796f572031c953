package console

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// statusTimeout is how long a member may take for its status: longer than any round trip, so
	// that a member that does not answer is shown as such while the others are still updated.
	statusTimeout = 1500 * time.Millisecond
	// listEvery is how often members and alarms are listed: they change seldom.
	listEvery = 5 * time.Second
)

// overview is the state of the cluster at one moment.
type overview struct {
	At       int64    `json:"at"` // milliseconds since 1970
	Cluster  string   `json:"cluster,omitempty"`
	Leader   string   `json:"leader,omitempty"`
	Revision int64    `json:"revision"`
	Index    uint64   `json:"index"` // of the latest raft entry
	Members  []member `json:"members"`
	// Requests is how many requests all members together have received since the first page was
	// opened, and somewhat before; 0 if that is not known.
	Requests float64 `json:"requests,omitempty"`
	Error    string  `json:"error,omitempty"` // the reason why members could not be listed
}

// member is one member as the console sees it.
type member struct {
	ID       string   `json:"id,omitempty"`
	Name     string   `json:"name,omitempty"`
	Endpoint string   `json:"endpoint"`
	Up       bool     `json:"up"`    // it answered
	State    string   `json:"state"` // in the client's view
	Error    string   `json:"error,omitempty"`
	Millis   float64  `json:"millis"` // the time that the answer took
	Version  string   `json:"version,omitempty"`
	Leader   bool     `json:"leader,omitempty"`
	Learner  bool     `json:"learner,omitempty"`
	Size     int64    `json:"size"`
	InUse    int64    `json:"inUse"`
	Quota    int64    `json:"quota"` // 0 if the server does not report it
	Revision int64    `json:"revision"`
	Index    uint64   `json:"index"`
	Applied  uint64   `json:"applied"`
	Term     uint64   `json:"term"`
	Alarms   []string `json:"alarms,omitempty"`
	Problems []string `json:"problems,omitempty"` // as the member reports them
}

// roster is what is known of the members apart from their states.
type roster struct {
	names  map[string]string   // by id
	urls   map[string]string   // the first client URL, by id
	alarms map[string][]string // by id
	err    string
}

func idName(id uint64) string { return strconv.FormatUint(id, 16) }

func getOverview(r *request) (any, error) {
	ctx, cancel := r.limit(callTimeout)
	defer cancel()
	c := r.session.owner.c
	return c.survey(ctx, r.client, c.list(ctx, r.client)), nil
}

// survey is the function survey, with the reason why a member does not answer that is being
// defragmented.
func (c *Console) survey(ctx context.Context, client *clientv3.Client, ro *roster) *overview {
	begin := time.Now()
	o := survey(ctx, client, ro)
	for i := range o.Members {
		if m := &o.Members[i]; !m.Up && c.defragmenting.excuses(m, begin) {
			m.Error = "it is being defragmented, and answers when that is done"
		}
	}
	return o
}

// list lists the members. If no member answers, it returns the last known list.
func (c *Console) list(ctx context.Context, client *clientv3.Client) *roster {
	ro := list(ctx, client)
	c.known.Lock()
	defer c.known.Unlock()
	if ro.err == "" {
		c.known.names, c.known.urls = ro.names, ro.urls
	} else if c.known.names != nil {
		ro.names, ro.urls = c.known.names, c.known.urls
	}
	return ro
}

func list(ctx context.Context, client *clientv3.Client) *roster {
	ctx, cancel := context.WithTimeout(clientv3.WithFailFast(ctx), statusTimeout)
	defer cancel()
	ro := &roster{names: make(map[string]string), urls: make(map[string]string), alarms: make(map[string][]string)}
	var wg sync.WaitGroup
	wg.Go(func() {
		// A member without a leader may answer too.
		members, err := client.MemberList(ctx, clientv3.WithSerializable())
		if err != nil {
			ro.err = err.Error()
			return
		}
		for _, m := range members.Members {
			id := idName(m.ID)
			ro.names[id] = m.Name
			if len(m.ClientURLs) > 0 {
				ro.urls[id] = m.ClientURLs[0]
			}
		}
	})
	wg.Go(func() {
		alarms, err := client.AlarmList(ctx)
		if err != nil {
			return // the members' statuses report alarms too
		}
		for _, a := range alarms.Alarms {
			id := idName(a.MemberID)
			ro.alarms[id] = append(ro.alarms[id], a.Alarm.String())
		}
	})
	wg.Wait()
	return ro
}

// survey asks all members for their status: those of the client's endpoints, and the other members
// of the cluster at their client URLs.
func survey(ctx context.Context, client *clientv3.Client, ro *roster) *overview {
	endpoints := client.Endpoints()
	members := make([]member, len(endpoints))
	o := &overview{At: time.Now().UnixMilli(), Error: ro.err}
	var (
		wg      sync.WaitGroup
		cluster = make([]string, len(endpoints))
		leaders = make([]string, len(endpoints))
	)
	for i, ep := range endpoints {
		wg.Go(func() { members[i], cluster[i], leaders[i] = ask(ctx, client, ep) })
	}
	wg.Wait()
	states := make(map[string]clientv3.MemberStatus)
	for _, s := range client.MemberStates() {
		states[s.Endpoint] = s
	}
	seen := make(map[string]bool)
	for i := range members {
		m := &members[i]
		s := states[endpoints[i]]
		m.State = string(s.State)
		if m.ID == "" && s.ID != 0 {
			m.ID = idName(s.ID)
		}
		if !m.Up && s.LastErr != nil {
			m.Error = s.LastErr.Error()
		}
		if m.ID == "" { // if it never answered, the list identifies it
			for id, url := range ro.urls {
				if hostPort(url) == hostPort(m.Endpoint) {
					m.ID = id
				}
			}
		}
		seen[m.ID] = true
		if cluster[i] != "" {
			o.Cluster, o.Leader = cluster[i], leaders[i]
		}
	}
	o.Members = members
	o.others(ctx, client, ro, seen)
	for i := range o.Members {
		m := &o.Members[i]
		m.Name, m.Alarms = ro.names[m.ID], ro.alarms[m.ID]
		o.Revision, o.Index = max(o.Revision, m.Revision), max(o.Index, m.Index)
	}
	return o
}

// looks returns what should cause an examination when it changes.
func (o *overview) looks() string {
	text := o.Leader
	for _, m := range o.Members {
		text += fmt.Sprint(m.Endpoint, m.Up, m.Leader, m.Alarms)
	}
	return text
}

// others adds members that are not among the client's endpoints.
func (o *overview) others(ctx context.Context, client *clientv3.Client, ro *roster, seen map[string]bool) {
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	for id := range ro.names {
		if seen[id] {
			continue
		}
		wg.Go(func() {
			m := member{ID: id, State: "unknown", Error: "it has not started yet"}
			if url := ro.urls[id]; url != "" {
				m, _, _ = ask(ctx, client, url)
				m.ID, m.State = id, "not an endpoint of this console"
			}
			mu.Lock()
			defer mu.Unlock()
			o.Members = append(o.Members, m)
		})
	}
	wg.Wait()
	sortMembers(o.Members[len(client.Endpoints()):])
}

// ask asks one member for its status.
func ask(ctx context.Context, client *clientv3.Client, endpoint string) (m member, cluster, leader string) {
	ctx, cancel := context.WithTimeout(clientv3.WithFailFast(ctx), statusTimeout)
	defer cancel()
	m.Endpoint = endpoint
	begin := time.Now()
	s, err := client.Status(ctx, endpoint)
	m.Millis = float64(time.Since(begin).Microseconds()) / 1000
	if err != nil {
		m.Error = err.Error()
		if ctx.Err() != nil {
			m.Error = "no answer within " + statusTimeout.String()
		}
		return m, "", ""
	}
	m.Up, m.ID, m.Version, m.Learner = true, idName(s.Header.MemberId), s.Version, s.IsLearner
	m.Leader = s.Leader == s.Header.MemberId && s.Leader != 0
	m.Size, m.InUse, m.Quota = s.DbSize, s.DbSizeInUse, s.DbSizeQuota
	m.Revision, m.Index, m.Applied, m.Term, m.Problems = s.Header.Revision, s.RaftIndex, s.RaftAppliedIndex, s.RaftTerm,
		s.Errors
	if s.Leader != 0 {
		leader = idName(s.Leader)
	}
	return m, idName(s.Header.ClusterId), leader
}
