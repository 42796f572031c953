package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// fielder is an answer of this package that writes its own fields.
type fielder interface{ fields(*printer) }

// fields writes an answer as lines of "Name" : value, with etcdctl's names in etcdctl's order. What
// etcdctl has no fields for is written as its JSON has it.
func (p *printer) fields(v any) error {
	if f, ok := v.(fielder); ok {
		f.fields(p)
		return nil
	}
	m, ok := messageOf(v)
	if !ok {
		return p.jsonFields(v)
	}
	if h, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		p.headerFields(h.GetHeader())
	}
	switch r := m.(type) {
	case *pb.RangeResponse:
		p.rangeFields(r)
	case *pb.PutResponse:
		p.keyValueFields("Prev", r.PrevKv)
	case *pb.DeleteRangeResponse:
		p.deleteFields(r)
	case *pb.TxnResponse:
		p.txnFields(r)
	case *pb.WatchResponse:
		p.eventFields(r.Events)
	case *pb.LeaseGrantResponse:
		p.leaseFields(r.ID, r.TTL)
	case *pb.LeaseKeepAliveResponse:
		p.leaseFields(r.ID, r.TTL)
	case *pb.LeaseTimeToLiveResponse:
		p.leaseFields(r.ID, r.TTL)
		p.field("GrantedTTL", r.GrantedTTL)
		for _, k := range r.Keys {
			p.field("Key", quoted(string(k)))
		}
	case *pb.LeaseLeasesResponse:
		for _, l := range r.Leases {
			p.field("ID", p.lease(l.ID))
		}
	case *pb.MemberListResponse:
		p.memberFields(r.Members)
	case *pb.MemberAddResponse:
		p.field("MemberID", p.id(r.Member.GetID()))
		p.memberFields(r.Members)
	case *pb.MemberRemoveResponse:
		p.memberFields(r.Members)
	case *pb.MemberUpdateResponse:
		p.memberFields(r.Members)
	case *pb.MemberPromoteResponse:
		p.memberFields(r.Members)
	case *pb.AlarmResponse:
		for _, al := range r.Alarms {
			p.field("MemberID", p.id(al.MemberID))
			p.field("AlarmType", al.Alarm)
			fmt.Fprintln(p)
		}
	case *pb.DowngradeResponse:
		p.field("Version", quoted(r.Version))
	case *pb.AuthStatusResponse:
		p.field("Enabled", r.Enabled)
		p.field("AuthRevision", r.AuthRevision)
	case *pb.AuthUserGetResponse:
		p.names("Roles", r.Roles)
	case *pb.AuthUserListResponse:
		p.names("Users", r.Users)
	case *pb.AuthRoleListResponse:
		p.names("Roles", r.Roles)
	case *pb.AuthRoleGetResponse:
		p.permissionFields(r.Perm)
	}
	return nil
}

func (p *printer) field(name string, value any) { fmt.Fprintf(p, "%q : %v\n", name, value) }

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// id and lease are in hexadecimal on demand only, as etcdctl has them in this format.
func (p *printer) id(id uint64) string {
	if p.hex {
		return idText(id)
	}
	return fmt.Sprint(id)
}

func (p *printer) lease(id int64) string {
	if p.hex {
		return leaseText(id)
	}
	return fmt.Sprint(id)
}

func (p *printer) headerFields(h *pb.ResponseHeader) {
	p.field("ClusterID", p.id(h.GetClusterId()))
	p.field("MemberID", p.id(h.GetMemberId()))
	if h.GetRevision() > 0 { // changes of members and alarms have none
		p.field("Revision", h.GetRevision())
	}
	p.field("RaftTerm", h.GetRaftTerm())
}

func (p *printer) keyValueFields(prefix string, kv *mvccpb.KeyValue) {
	if kv == nil {
		return
	}
	p.field(prefix+"Key", quoted(string(kv.Key)))
	p.field(prefix+"CreateRevision", kv.CreateRevision)
	p.field(prefix+"ModRevision", kv.ModRevision)
	p.field(prefix+"Version", kv.Version)
	p.field(prefix+"Value", quoted(string(kv.Value)))
	p.field(prefix+"Lease", p.lease(kv.Lease))
}

func (p *printer) rangeFields(r *pb.RangeResponse) {
	for _, kv := range r.Kvs {
		p.keyValueFields("", kv)
	}
	p.field("More", r.More)
	p.field("Count", r.Count)
}

func (p *printer) deleteFields(r *pb.DeleteRangeResponse) {
	p.field("Deleted", r.Deleted)
	for _, kv := range r.PrevKvs {
		p.keyValueFields("Prev", kv)
	}
}

func (p *printer) txnFields(r *pb.TxnResponse) {
	p.field("Succeeded", r.Succeeded)
	for _, op := range r.Responses {
		switch op := op.Response.(type) {
		case *pb.ResponseOp_ResponseRange:
			p.headerFields(op.ResponseRange.Header)
			p.rangeFields(op.ResponseRange)
		case *pb.ResponseOp_ResponsePut:
			p.headerFields(op.ResponsePut.Header)
			p.keyValueFields("Prev", op.ResponsePut.PrevKv)
		case *pb.ResponseOp_ResponseDeleteRange:
			p.headerFields(op.ResponseDeleteRange.Header)
			p.deleteFields(op.ResponseDeleteRange)
		}
	}
}

func (p *printer) eventFields(events []*mvccpb.Event) {
	for _, e := range events {
		p.field("Type", e.Type)
		p.keyValueFields("Prev", e.PrevKv)
		p.keyValueFields("", e.Kv)
	}
}

func (p *printer) leaseFields(id, ttl int64) {
	p.field("ID", p.lease(id))
	p.field("TTL", ttl)
}

func (p *printer) memberFields(members []*pb.Member) {
	for _, m := range members {
		p.field("ID", p.id(m.ID))
		p.field("Name", quoted(m.Name))
		for _, u := range m.PeerURLs {
			p.field("PeerURL", quoted(u))
		}
		for _, u := range m.ClientURLs {
			p.field("ClientURL", quoted(u))
		}
		p.field("IsLearner", m.IsLearner)
		fmt.Fprintln(p)
	}
}

func (p *printer) permissionFields(perms []*authpb.Permission) {
	for _, perm := range perms {
		fmt.Fprintf(p, "%q :  %v\n", "PermType", perm.PermType) // with etcdctl's two blanks
		p.field("Key", quoted(string(perm.Key)))
		p.field("RangeEnd", quoted(string(perm.RangeEnd)))
	}
}

func (p *printer) names(what string, names []string) {
	fmt.Fprintf(p, "%q :", what)
	for _, n := range names {
		fmt.Fprintf(p, " %q", n)
	}
	fmt.Fprintln(p)
}

// jsonFields writes the members of a JSON object, or of each object of an array, in their order.
func (p *printer) jsonFields(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	first, err := dec.Token()
	if err != nil {
		return err
	}
	if first == json.Delim('[') {
		var all []json.RawMessage
		if err := json.Unmarshal(text, &all); err != nil {
			return err
		}
		for _, one := range all {
			if err := p.jsonFields(one); err != nil {
				return err
			}
			fmt.Fprintln(p)
		}
		return nil
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		p.field(fmt.Sprint(name), string(value))
	}
	return nil
}

var _ fielder = statusList(nil)

// statusList and the like are the answers of several endpoints.
type statusList []endpointStatus

func (all statusList) fields(p *printer) {
	for _, s := range all {
		r := s.Status
		p.headerFields(r.Header)
		p.field("Version", quoted(r.Version))
		p.field("StorageVersion", quoted(r.StorageVersion))
		p.field("DBSize", r.DbSize)
		p.field("DBSizeInUse", r.DbSizeInUse)
		p.field("DBSizeQuota", r.DbSizeQuota)
		p.field("Leader", p.id(r.Leader))
		p.field("IsLearner", r.IsLearner)
		p.field("RaftIndex", r.RaftIndex)
		p.field("RaftAppliedIndex", r.RaftAppliedIndex)
		p.field("Errors", r.Errors)
		p.field("Endpoint", quoted(s.Endpoint))
		d := r.DowngradeInfo
		if d == nil {
			d = &pb.DowngradeInfo{}
		}
		p.field("DowngradeTargetVersion", quoted(d.TargetVersion))
		p.field("DowngradeEnabled", d.Enabled)
		fmt.Fprintln(p)
	}
}

type healthList []endpointHealth

func (all healthList) fields(p *printer) {
	for _, h := range all {
		p.field("Endpoint", quoted(h.Endpoint))
		p.field("Health", h.Health)
		p.field("Took", h.Took)
		p.field("Error", h.Error)
		fmt.Fprintln(p)
	}
}
