package command

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// fielder is an answer that writes its own fields.
type fielder interface{ Fields(*Printer) }

// Fields writes an answer as lines of "Name" : value, with etcdctl's names in etcdctl's order. An
// answer for which etcdctl has no fields is written with the names of its JSON.
func (p *Printer) Fields(v any) error {
	if f, ok := v.(fielder); ok {
		f.Fields(p)
		return nil
	}
	m, ok := messageOf(v)
	if !ok {
		return p.jsonFields(v)
	}
	if h, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		p.HeaderFields(h.GetHeader())
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
		p.Field("GrantedTTL", r.GrantedTTL)
		for _, k := range r.Keys {
			p.Field("Key", Quoted(string(k)))
		}
	case *pb.LeaseLeasesResponse:
		for _, l := range r.Leases {
			p.Field("ID", p.lease(l.ID))
		}
	case *pb.MemberListResponse:
		p.memberFields(r.Members)
	case *pb.MemberAddResponse:
		p.Field("MemberID", p.Id(r.Member.GetID()))
		p.memberFields(r.Members)
	case *pb.MemberRemoveResponse:
		p.memberFields(r.Members)
	case *pb.MemberUpdateResponse:
		p.memberFields(r.Members)
	case *pb.MemberPromoteResponse:
		p.memberFields(r.Members)
	case *pb.AlarmResponse:
		for _, al := range r.Alarms {
			p.Field("MemberID", p.Id(al.MemberID))
			p.Field("AlarmType", al.Alarm)
			fmt.Fprintln(p)
		}
	case *pb.DowngradeResponse:
		p.Field("Version", Quoted(r.Version))
	case *pb.AuthStatusResponse:
		p.Field("Enabled", r.Enabled)
		p.Field("AuthRevision", r.AuthRevision)
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

// Field writes one field of an answer.
func (p *Printer) Field(name string, value any) { fmt.Fprintf(p, "%q : %v\n", name, value) }

// Quoted returns a text for Field.
func Quoted(s string) string { return fmt.Sprintf("%q", s) }

// Id returns an id, in hexadecimal only with --hex, as etcdctl does in this format; so does lease.
func (p *Printer) Id(id uint64) string {
	if p.Hex {
		return IdText(id)
	}
	return fmt.Sprint(id)
}

func (p *Printer) lease(id int64) string {
	if p.Hex {
		return LeaseText(id)
	}
	return fmt.Sprint(id)
}

// HeaderFields writes the fields of an answer's header.
func (p *Printer) HeaderFields(h *pb.ResponseHeader) {
	p.Field("ClusterID", p.Id(h.GetClusterId()))
	p.Field("MemberID", p.Id(h.GetMemberId()))
	if h.GetRevision() > 0 { // changes of members and alarms have none
		p.Field("Revision", h.GetRevision())
	}
	p.Field("RaftTerm", h.GetRaftTerm())
}

func (p *Printer) keyValueFields(prefix string, kv *mvccpb.KeyValue) {
	if kv == nil {
		return
	}
	p.Field(prefix+"Key", Quoted(string(kv.Key)))
	p.Field(prefix+"CreateRevision", kv.CreateRevision)
	p.Field(prefix+"ModRevision", kv.ModRevision)
	p.Field(prefix+"Version", kv.Version)
	p.Field(prefix+"Value", Quoted(string(kv.Value)))
	p.Field(prefix+"Lease", p.lease(kv.Lease))
}

func (p *Printer) rangeFields(r *pb.RangeResponse) {
	for _, kv := range r.Kvs {
		p.keyValueFields("", kv)
	}
	p.Field("More", r.More)
	p.Field("Count", r.Count)
}

func (p *Printer) deleteFields(r *pb.DeleteRangeResponse) {
	p.Field("Deleted", r.Deleted)
	for _, kv := range r.PrevKvs {
		p.keyValueFields("Prev", kv)
	}
}

func (p *Printer) txnFields(r *pb.TxnResponse) {
	p.Field("Succeeded", r.Succeeded)
	for _, op := range r.Responses {
		switch op := op.Response.(type) {
		case *pb.ResponseOp_ResponseRange:
			p.HeaderFields(op.ResponseRange.Header)
			p.rangeFields(op.ResponseRange)
		case *pb.ResponseOp_ResponsePut:
			p.HeaderFields(op.ResponsePut.Header)
			p.keyValueFields("Prev", op.ResponsePut.PrevKv)
		case *pb.ResponseOp_ResponseDeleteRange:
			p.HeaderFields(op.ResponseDeleteRange.Header)
			p.deleteFields(op.ResponseDeleteRange)
		}
	}
}

func (p *Printer) eventFields(events []*mvccpb.Event) {
	for _, e := range events {
		p.Field("Type", e.Type)
		p.keyValueFields("Prev", e.PrevKv)
		p.keyValueFields("", e.Kv)
	}
}

func (p *Printer) leaseFields(id, ttl int64) {
	p.Field("ID", p.lease(id))
	p.Field("TTL", ttl)
}

func (p *Printer) memberFields(members []*pb.Member) {
	for _, m := range members {
		p.Field("ID", p.Id(m.ID))
		p.Field("Name", Quoted(m.Name))
		for _, u := range m.PeerURLs {
			p.Field("PeerURL", Quoted(u))
		}
		for _, u := range m.ClientURLs {
			p.Field("ClientURL", Quoted(u))
		}
		p.Field("IsLearner", m.IsLearner)
		fmt.Fprintln(p)
	}
}

func (p *Printer) permissionFields(perms []*authpb.Permission) {
	for _, perm := range perms {
		fmt.Fprintf(p, "%q :  %v\n", "PermType", perm.PermType) // with two blanks, as etcdctl does
		p.Field("Key", Quoted(string(perm.Key)))
		p.Field("RangeEnd", Quoted(string(perm.RangeEnd)))
	}
}

func (p *Printer) names(what string, names []string) {
	fmt.Fprintf(p, "%q :", what)
	for _, n := range names {
		fmt.Fprintf(p, " %q", n)
	}
	fmt.Fprintln(p)
}

// jsonFields writes the members of a JSON object, or of each object in an array, in their order.
func (p *Printer) jsonFields(v any) error {
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
		p.Field(fmt.Sprint(name), string(value))
	}
	return nil
}
