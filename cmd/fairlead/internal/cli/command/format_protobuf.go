package command

import (
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/clientv3"
)

var errNoMessage = UsageError{errors.New("this command's output is no protobuf message: choose another --write-out")}

// NeedsNoMessage refuses the protobuf format before a command begins that has no message for it.
func (a *App) NeedsNoMessage() error {
	if a.Out.Format == FormatProtobuf {
		return errNoMessage
	}
	return nil
}

// Protobuf writes the answer's message as the server sent it, without a line end.
func (p *Printer) Protobuf(v any) error {
	m, ok := messageOf(v)
	if !ok {
		return errNoMessage
	}
	text, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	_, err = p.Write(text)
	return err
}

// messageOf returns the protocol's message of an answer, which the client returns as another type.
func messageOf(v any) (proto.Message, bool) {
	switch r := v.(type) {
	case *clientv3.GetResponse:
		return (*pb.RangeResponse)(r), true
	case *clientv3.PutResponse:
		return (*pb.PutResponse)(r), true
	case *clientv3.DeleteResponse:
		return (*pb.DeleteRangeResponse)(r), true
	case *clientv3.TxnResponse:
		return (*pb.TxnResponse)(r), true
	case *clientv3.CompactResponse:
		return (*pb.CompactionResponse)(r), true
	case *clientv3.WatchResponse:
		return &pb.WatchResponse{
			Header: r.Header, Events: r.Events, CompactRevision: r.CompactRevision, Canceled: r.Canceled,
			Created: r.Created, CancelReason: r.CancelReason,
		}, true
	case *clientv3.LeaseGrantResponse:
		return &pb.LeaseGrantResponse{Header: r.ResponseHeader, ID: int64(r.ID), TTL: r.TTL, Error: r.Error}, true
	case *clientv3.LeaseRevokeResponse:
		return (*pb.LeaseRevokeResponse)(r), true
	case *clientv3.LeaseKeepAliveResponse:
		return &pb.LeaseKeepAliveResponse{Header: r.ResponseHeader, ID: int64(r.ID), TTL: r.TTL}, true
	case *clientv3.LeaseTimeToLiveResponse:
		return &pb.LeaseTimeToLiveResponse{
			Header: r.ResponseHeader, ID: int64(r.ID), TTL: r.TTL, GrantedTTL: r.GrantedTTL, Keys: r.Keys,
		}, true
	case *clientv3.LeaseLeasesResponse:
		m := &pb.LeaseLeasesResponse{Header: r.ResponseHeader}
		for _, l := range r.Leases {
			m.Leases = append(m.Leases, &pb.LeaseStatus{ID: int64(l.ID)})
		}
		return m, true
	}
	if m, ok := clusterMessage(v); ok {
		return m, true
	}
	if m, ok := authMessage(v); ok {
		return m, true
	}
	m, ok := v.(proto.Message) // last: the answers about leases embed one, their header
	return m, ok
}

func clusterMessage(v any) (proto.Message, bool) {
	switch r := v.(type) {
	case *clientv3.MemberListResponse:
		return (*pb.MemberListResponse)(r), true
	case *clientv3.MemberAddResponse:
		return (*pb.MemberAddResponse)(r), true
	case *clientv3.MemberRemoveResponse:
		return (*pb.MemberRemoveResponse)(r), true
	case *clientv3.MemberUpdateResponse:
		return (*pb.MemberUpdateResponse)(r), true
	case *clientv3.MemberPromoteResponse:
		return (*pb.MemberPromoteResponse)(r), true
	case *clientv3.AlarmResponse:
		return (*pb.AlarmResponse)(r), true
	case *clientv3.MoveLeaderResponse:
		return (*pb.MoveLeaderResponse)(r), true
	case *clientv3.DowngradeResponse:
		return (*pb.DowngradeResponse)(r), true
	}
	return nil, false
}

func authMessage(v any) (proto.Message, bool) {
	switch r := v.(type) {
	case *clientv3.AuthEnableResponse:
		return (*pb.AuthEnableResponse)(r), true
	case *clientv3.AuthDisableResponse:
		return (*pb.AuthDisableResponse)(r), true
	case *clientv3.AuthStatusResponse:
		return (*pb.AuthStatusResponse)(r), true
	case *clientv3.AuthUserAddResponse:
		return (*pb.AuthUserAddResponse)(r), true
	case *clientv3.AuthUserDeleteResponse:
		return (*pb.AuthUserDeleteResponse)(r), true
	case *clientv3.AuthUserGetResponse:
		return (*pb.AuthUserGetResponse)(r), true
	case *clientv3.AuthUserListResponse:
		return (*pb.AuthUserListResponse)(r), true
	case *clientv3.AuthUserChangePasswordResponse:
		return (*pb.AuthUserChangePasswordResponse)(r), true
	case *clientv3.AuthUserGrantRoleResponse:
		return (*pb.AuthUserGrantRoleResponse)(r), true
	case *clientv3.AuthUserRevokeRoleResponse:
		return (*pb.AuthUserRevokeRoleResponse)(r), true
	case *clientv3.AuthRoleAddResponse:
		return (*pb.AuthRoleAddResponse)(r), true
	case *clientv3.AuthRoleDeleteResponse:
		return (*pb.AuthRoleDeleteResponse)(r), true
	case *clientv3.AuthRoleGetResponse:
		return (*pb.AuthRoleGetResponse)(r), true
	case *clientv3.AuthRoleListResponse:
		return (*pb.AuthRoleListResponse)(r), true
	case *clientv3.AuthRoleGrantPermissionResponse:
		return (*pb.AuthRoleGrantPermissionResponse)(r), true
	case *clientv3.AuthRoleRevokePermissionResponse:
		return (*pb.AuthRoleRevokePermissionResponse)(r), true
	}
	return nil, false
}
