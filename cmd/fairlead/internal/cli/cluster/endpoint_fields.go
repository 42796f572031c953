package cluster

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// statusList, healthList and hashList are the answers of several endpoints.
type statusList []endpointStatus

// Fields writes the answers with the names of etcdctl and etcdutl.
func (all statusList) Fields(p *command.Printer) {
	for _, s := range all {
		r := s.Status
		p.HeaderFields(r.Header)
		p.Field("Version", command.Quoted(r.Version))
		p.Field("StorageVersion", command.Quoted(r.StorageVersion))
		p.Field("DBSize", r.DbSize)
		p.Field("DBSizeInUse", r.DbSizeInUse)
		p.Field("DBSizeQuota", r.DbSizeQuota)
		p.Field("Leader", p.Id(r.Leader))
		p.Field("IsLearner", r.IsLearner)
		p.Field("RaftIndex", r.RaftIndex)
		p.Field("RaftAppliedIndex", r.RaftAppliedIndex)
		p.Field("Errors", r.Errors)
		p.Field("Endpoint", command.Quoted(s.Endpoint))
		d := r.DowngradeInfo
		if d == nil {
			d = &pb.DowngradeInfo{}
		}
		p.Field("DowngradeTargetVersion", command.Quoted(d.TargetVersion))
		p.Field("DowngradeEnabled", d.Enabled)
		fmt.Fprintln(p)
	}
}

type healthList []endpointHealth

// Fields writes the answers with the names of etcdctl and etcdutl.
func (all healthList) Fields(p *command.Printer) {
	for _, h := range all {
		p.Field("Endpoint", command.Quoted(h.Endpoint))
		p.Field("Health", h.Health)
		p.Field("Took", h.Took)
		p.Field("Error", h.Error)
		fmt.Fprintln(p)
	}
}
