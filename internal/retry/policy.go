package retry

import (
	"math"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/backoff"
)

// Limits bound how often and how fast one call is repeated.
type Limits struct {
	// MaxRetries is how often a call is repeated after its first attempt.
	MaxRetries uint
	// Wait is how long to wait after the n-th failure, from 0. The first
	// repetition that can go to another member is not delayed.
	Wait func(n int) time.Duration
}

// Defaults. Ten repetitions with these waits take three to seven seconds, which
// is longer than an election, and never more than ten requests in two seconds.
const (
	DefaultMaxRetries = 10
	DefaultWaitBase   = 100 * time.Millisecond
	DefaultWaitMax    = time.Second
)

// defaultWait grows from DefaultWaitBase to DefaultWaitMax; half of it is
// jitter, so that it never falls to nothing.
func defaultWait(n int) time.Duration {
	p := backoff.Policy{Base: DefaultWaitBase, Max: DefaultWaitMax}
	return p.Ceiling(n)/2 + p.Wait(n)/2
}

// kind says what repeating a request can do.
type kind uint8

const (
	write  kind = iota // repeated only when provably not executed
	read               // may be repeated and sent twice
	repeat             // a write that is safe to repeat: the request names its own result
	login              // a read that must not wait for a token
)

// plan is what the engine knows about a request.
type plan struct {
	kind      kind
	consensus bool // needs the cluster's agreement
	short     bool // ordinary duration: a sample of latency
	hedge     bool // cheap enough to be sent twice
	many      bool // reads more than one key
}

// planFor decides from the method and the request.
func planFor(method string, req any) plan {
	switch r := req.(type) {
	case *pb.RangeRequest:
		small := keys(r) <= hedgeLimit
		return plan{kind: read, consensus: !r.Serializable, short: small, hedge: small, many: len(r.RangeEnd) > 0}
	case *pb.PutRequest:
		return plan{kind: write, consensus: true, short: true}
	case *pb.DeleteRangeRequest:
		return plan{kind: write, consensus: true, short: len(r.RangeEnd) == 0}
	case *pb.TxnRequest:
		if reads, local := readOnly(r); reads {
			return plan{kind: read, consensus: !local, hedge: fewKeys(r)}
		}
		return plan{kind: write, consensus: true}
	case *pb.LeaseGrantRequest:
		if r.ID != 0 {
			return plan{kind: repeat, consensus: true, short: true}
		}
		return plan{kind: write, consensus: true, short: true}
	case *pb.LeaseTimeToLiveRequest, *pb.LeaseLeasesRequest:
		return plan{kind: read, consensus: true}
	case *pb.AuthenticateRequest:
		return plan{kind: login, consensus: true, hedge: true}
	case *pb.MemberListRequest:
		return plan{kind: read, consensus: r.Linearizable}
	case *pb.AuthStatusRequest, *pb.AuthUserGetRequest, *pb.AuthUserListRequest,
		*pb.AuthRoleGetRequest, *pb.AuthRoleListRequest:
		return plan{kind: read, consensus: true}
	case *pb.StatusRequest, *pb.HashRequest, *pb.HashKVRequest:
		return plan{kind: read}
	case *pb.AlarmRequest:
		if r.Action == pb.AlarmRequest_GET {
			return plan{kind: read}
		}
	}
	// Not one of ours: a service for which only a write's rule is safe.
	return plan{
		kind: write,
		consensus: strings.HasPrefix(method, "/etcdserverpb.") &&
			!strings.HasPrefix(method, "/etcdserverpb.Maintenance/"),
	}
}

// loginHedge is how long a login may take before it is sent to another member too. All calls wait
// for it, and a member that is cut off from its peers answers only after seconds. But hashing the
// password alone takes some 100 ms, more when many clients log in at once, so the delay learned
// from reads does not apply.
const loginHedge = 500 * time.Millisecond

// writeHedge is the least time that a repeatable write may take before it is sent to another member
// too: a commit waits for disks, and a proposal that was lost with its leader is never answered.
const writeHedge = 500 * time.Millisecond

// hedgeLimit: a range of at most this many keys costs the server about as much as one key.
const hedgeLimit = 100

// keys returns how many keys a range reads at most.
func keys(r *pb.RangeRequest) int64 {
	switch {
	case len(r.RangeEnd) == 0:
		return 1
	case r.Limit > 0:
		return r.Limit
	}
	return math.MaxInt64
}

// fewKeys reports whether a transaction that only reads is cheap enough to be sent twice: watches
// use such transactions to prove what was delivered, and wait for them.
func fewKeys(t *pb.TxnRequest) bool {
	left := int64(hedgeLimit)
	for _, c := range t.Compare {
		if len(c.RangeEnd) > 0 {
			return false
		}
		left--
	}
	for _, ops := range [2][]*pb.RequestOp{t.Success, t.Failure} {
		for _, op := range ops {
			r := op.GetRequestRange()
			if r == nil || keys(r) > left {
				return false
			}
			left -= keys(r)
		}
	}
	return left >= 0
}

// readOnly reports whether a transaction only reads, and whether it then needs no consensus: a
// server serves it alone if it compares nothing and each of its reads is serializable.
func readOnly(t *pb.TxnRequest) (reads, local bool) {
	local = len(t.Compare) == 0
	for _, ops := range [2][]*pb.RequestOp{t.Success, t.Failure} {
		for _, op := range ops {
			switch {
			case op.GetRequestRange() != nil:
				local = local && op.GetRequestRange().Serializable
			case op.GetRequestTxn() != nil:
				r, l := readOnly(op.GetRequestTxn())
				if !r {
					return false, false
				}
				local = local && l
			default:
				return false, false
			}
		}
	}
	return true, local
}
