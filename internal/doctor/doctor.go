// Package doctor examines a cluster and says in plain words what is wrong and what to do.
//
// It works in two halves. Gather reads facts from the cluster, changes nothing, and notes what it
// could not find out. Judge applies a list of rules to those facts; it is a pure function, so every
// rule is tested with facts made up for it.
package doctor

import (
	"cmp"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Facts are what is known of a cluster.
type Facts struct {
	Now       time.Time
	Period    time.Duration // the period of Fsync, Commit and NewLeaders; 0: since each member's start
	Members   []*Member     // by name; nil if no member listed them
	ListErr   error         // the reason why there is no list
	Read      Probe         // a linearizable read of one key
	Alarms    []*pb.AlarmMember
	AlarmErr  error   // the reason why they are not known
	Leases    []Lease // a sample
	LeaseErr  error
	AllLeases int   // how many there are
	Revision  int64 // 0 if unknown
	Compacted bool  // the first revision cannot be read any more
	KeysErr   error // the reason why that is not known
	AuthOn    *bool // nil if unknown
	Remote    bool  // some endpoint is not on this machine
	Secure    bool  // the connection is encrypted
	// Defragmenting is the member that the caller is defragmenting; 0 without one. It answers no
	// requests meanwhile, and nothing is wrong with it. Others are known by their pages of metrics.
	Defragmenting uint64
	// OwnCertificate is the client's certificate; nil if it has none.
	OwnCertificate *x509.Certificate
}

// Member is one member and its addresses.
type Member struct {
	ID      uint64
	Name    string // "" for a member that was never started
	Learner bool
	// Unlisted is an endpoint of the user's that does not answer: it may be one of the listed
	// members, and does not count for the quorum.
	Unlisted bool
	PeerURLs []string  // where the other members connect to it
	URLs     []Address // those that it advertises, and endpoints of the user's that lead to it
}

// Address is one way to a member.
type Address struct {
	URL        string
	Advertised bool // by the member; otherwise only the user names it
	Probe           // a Status request
	Status     *pb.StatusResponse
	Clock      time.Duration // how far the member's clock is ahead of ours; only if HasClock
	HasClock   bool
	// Certificate is the member's certificate for clients; nil without TLS or if unknown.
	Certificate *x509.Certificate
	Fsync       Quantile // of the write-ahead log, in the period
	Commit      Quantile // of the database, in the period
	NewLeaders  float64  // changes of the leader that the member saw in the period; 0 without one
	// LeadersSeen is their number since its start; below 0 if unknown.
	LeadersSeen float64
	PagesErr    error // the reason why the metrics are not known
	// Defrags: the member does not answer, and its page of metrics says that it is being
	// defragmented.
	Defrags bool
	counted *counters // nil if unknown
}

// Probe is the result of a request.
type Probe struct {
	Took time.Duration // the median of the tries
	Err  error
}

// Quantile is the 99th percentile of a histogram.
type Quantile struct {
	P99   time.Duration
	Known bool
}

// Lease is a lease of the sample.
type Lease struct {
	ID   int64
	TTL  time.Duration // the granted one
	Left time.Duration
	Keys int
}

// status returns the member's own status, from the first address that answered.
func (m *Member) status() (*Address, *pb.StatusResponse) {
	for i := range m.URLs {
		if a := &m.URLs[i]; a.Err == nil && a.Status != nil {
			return a, a.Status
		}
	}
	return nil, nil
}

// ID returns the member with this title in Finding.Members; 0 if there is none.
func (f *Facts) ID(title string) uint64 {
	for _, m := range f.Members {
		if m.title() == title {
			return m.ID
		}
	}
	return 0
}

// Leader returns the leader, in the view of the first member that answers; 0 if there is none.
func (f *Facts) Leader() uint64 {
	for _, m := range f.Members {
		if _, st := m.status(); st != nil && st.Leader != 0 {
			return st.Leader
		}
	}
	return 0
}

// Started returns when the member's process started, in seconds since 1970; 0 if unknown.
func (a *Address) Started() float64 {
	if a.counted == nil {
		return 0
	}
	return a.counted.started
}

// Answer returns the address that answered; nil if none did.
func (m *Member) Answer() *Address {
	a, _ := m.status()
	return a
}

// Title returns the member's name for people.
func (m *Member) Title() string { return m.title() }

func (m *Member) title() string {
	switch {
	case m.Name != "":
		return m.Name
	case m.ID != 0:
		return idText(m.ID)
	}
	return "the member at " + m.URLs[0].URL
}

// subject returns the beginning of a sentence about the member.
func (m *Member) subject() string {
	if m.Name == "" && m.ID == 0 {
		return m.title()
	}
	return "member " + m.title()
}

// silence reports whether no member answered anything about the cluster.
func (f *Facts) silence() bool {
	return f.ListErr != nil && !slices.ContainsFunc(f.Members, func(m *Member) bool {
		_, st := m.status()
		return st != nil
	})
}

// Unreachable reports whether no member answered at all, for no reason that is known.
func (f *Facts) Unreachable() bool { return f.silence() && !f.Refused() && len(f.Defragmented()) == 0 }

// Defragmented returns the members that do not answer because they are being defragmented.
func (f *Facts) Defragmented() (list []*Member) {
	for _, m := range f.Members {
		if f.defragments(m) {
			list = append(list, m)
		}
	}
	return list
}

// Refused reports whether no member answered anything about the cluster because the user lacks
// permission.
func (f *Facts) Refused() bool { return f.silence() && refused(f.ListErr) }

// refused reports whether an error is a refusal because of the user.
func refused(err error) bool {
	for _, no := range []error{
		rpctypes.ErrUserEmpty, rpctypes.ErrPermissionDenied, rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthFailed,
	} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// Severity orders findings.
type Severity int

const (
	Problem Severity = iota + 1 // something does not work, or will not soon
	Warning                     // something will become a problem, or makes a problem worse
	Note                        // worth knowing
)

// String returns "problem", "warning" or "note".
func (s Severity) String() string {
	switch s {
	case Problem:
		return "problem"
	case Warning:
		return "warning"
	}
	return "note"
}

// Finding is one thing that is not as it should be.
type Finding struct {
	// Rule and Members distinguish findings: they stay the same while the figures in What change.
	Rule     string
	Members  []string // the members in question; nil for the whole cluster
	Severity Severity
	// Stops: requests fail because of it, at every member.
	Stops  bool
	Title  string   // of a few words
	What   string   // what is wrong, with the figures that show it
	Detail string   // messages of programs about it; "" if there are none
	Means  string   // the effect for users of the cluster; "" if there is none
	Do     string   // what to do; "" if there is nothing to do
	Run    []string // the program's commands that do it or help to, in order; words in capitals are to be replaced
}

// Judge applies all rules. The worst findings come first.
func Judge(f *Facts) []Finding {
	var all []Finding
	if f.silence() {
		all = nobody(f) // the other rules would repeat that in many words
	} else {
		for _, rule := range rules {
			all = append(all, rule(f)...)
		}
	}
	for i := range all {
		all[i].Title, all[i].Means = meanings[all[i].Rule].title, meanings[all[i].Rule].means
		all[i].Stops = stops[all[i].Rule]
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		if a.Stops != b.Stops {
			return map[bool]int{true: -1, false: 1}[a.Stops]
		}
		return cmp.Compare(a.Severity, b.Severity)
	})
	return all
}
