package doctor

import (
	"slices"
	"strings"

	"github.com/fairlead-go/fairlead/internal/scrape"
)

// Kind is a kind of requests.
type Kind int

// Kinds of requests. On a stream each message counts as one: a watch that begins, a renewal.
const (
	Reads Kind = iota
	Changes
	Transactions
	Watches
	Leases
	Others // locks, elections, users, operations; health checks are not counted
	Kinds  // how many there are
)

// String returns the kind's name in words.
func (k Kind) String() string {
	if k < 0 || k >= Kinds {
		return "unknown"
	}
	return [...]string{"reads", "changes", "transactions", "watches", "leases", "others"}[k]
}

var kindOf = map[string]Kind{
	"etcdserverpb.KV/Range": Reads, "etcdserverpb.KV/RangeStream": Reads,
	"etcdserverpb.KV/Put": Changes, "etcdserverpb.KV/DeleteRange": Changes, "etcdserverpb.KV/Txn": Transactions,
	"etcdserverpb.Watch/Watch": Watches,
}

// Received is the number of requests that a process has received since its start.
type Received struct {
	Process string // tells it from other processes
	Counts  [Kinds]float64
}

// count counts a line of a page if it is a count of requests.
func (c *counters) count(line string) {
	n, ok := scrape.Value(line, "grpc_server_msg_received_total")
	if !ok || n == 0 {
		return
	}
	service, method := label(line, "grpc_service"), label(line, "grpc_method")
	kind, ok := kindOf[service+"/"+method]
	switch {
	case ok:
	case service == "etcdserverpb.Lease":
		kind = Leases
	case service == "grpc.health.v1.Health" ||
		service == "etcdserverpb.Maintenance" && (method == "Status" || method == "Alarm"):
		return // these requests observe the cluster
	default:
		kind = Others
	}
	c.received[kind] += n
}

// label returns the value of a label in a line. Names of services need no escapes.
func label(line, name string) string {
	_, rest, ok := strings.Cut(line, name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// Received returns the requests that each process of the cluster has received since its start, as
// far as that is known. Members that share a process count once.
func (f *Facts) Received() (list []Received) {
	for _, m := range f.Members {
		a := m.Answer()
		if a == nil || a.counted == nil {
			continue
		}
		r := Received{m.Title(), a.counted.received}
		if len(a.counted.ids) > 0 {
			r.Process = slices.Min(a.counted.ids)
		}
		if !slices.ContainsFunc(list, func(x Received) bool { return x.Process == r.Process }) {
			list = append(list, r)
		}
	}
	return list
}
