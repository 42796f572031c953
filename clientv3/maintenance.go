package clientv3

import (
	"context"
	"io"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// Responses of Maintenance. They are the wire messages under names of this
// package.
type (
	DefragmentResponse pb.DefragmentResponse
	AlarmResponse      pb.AlarmResponse
	AlarmMember        pb.AlarmMember
	StatusResponse     pb.StatusResponse
	HashKVResponse     pb.HashKVResponse
	MoveLeaderResponse pb.MoveLeaderResponse
	DowngradeResponse  pb.DowngradeResponse
)

// DowngradeAction is a step of a downgrade.
type DowngradeAction pb.DowngradeRequest_DowngradeAction

const (
	DowngradeValidate = DowngradeAction(pb.DowngradeRequest_VALIDATE)
	DowngradeEnable   = DowngradeAction(pb.DowngradeRequest_ENABLE)
	DowngradeCancel   = DowngradeAction(pb.DowngradeRequest_CANCEL)
)

// SnapshotResponse is a snapshot of one member's database.
type SnapshotResponse struct {
	// Header is that of the first message: the member, and the revision that the
	// snapshot was taken at. Nil if the server sends none, as those up to 3.7 do.
	Header *pb.ResponseHeader
	// Snapshot is the database file, followed by its SHA-256 digest of 32 bytes. The
	// caller closes it.
	Snapshot io.ReadCloser
	// Version is that of the server's storage, empty from servers before 3.6, and in the first
	// seconds after a server's start, while StatusResponse.StorageVersion is empty or below
	// 3.6 too.
	Version string
}

// Maintenance looks after members. Methods with an endpoint go to that endpoint
// alone, which need not be among the client's; its connection is kept for a minute. Like
// all calls they wait for a server that refuses connections, as one that is starting does,
// unless they fail fast. All methods are safe for concurrent use and honour their context.
type Maintenance interface {
	// AlarmList lists the active alarms.
	AlarmList(ctx context.Context) (*AlarmResponse, error)

	// AlarmDisarm disarms an alarm; all of them if m is zero.
	AlarmDisarm(ctx context.Context, m *AlarmMember) (*AlarmResponse, error)

	// Defragment returns unused space of a member's database to the file system. The member answers
	// nothing else meanwhile, so defragment one member at a time.
	Defragment(ctx context.Context, endpoint string) (*DefragmentResponse, error)

	// Status describes a member.
	Status(ctx context.Context, endpoint string) (*StatusResponse, error)

	// HashKV hashes a member's keys up to a revision, all of them if rev is 0.
	HashKV(ctx context.Context, endpoint string, rev int64) (*HashKVResponse, error)

	// SnapshotWithVersion begins a snapshot. Reading from it fails with ctx's error when
	// ctx ends.
	SnapshotWithVersion(ctx context.Context) (*SnapshotResponse, error)

	// Snapshot is SnapshotWithVersion without header and version.
	//
	// Deprecated: use SnapshotWithVersion.
	Snapshot(ctx context.Context) (io.ReadCloser, error)

	// MoveLeader makes another member the leader. Only the leader can do that; the request goes to
	// it if it is among the endpoints, else the error is rpctypes.ErrNotLeader.
	MoveLeader(ctx context.Context, transfereeID uint64) (*MoveLeaderResponse, error)

	// Downgrade validates, begins or cancels a downgrade of the cluster's version.
	// Servers since 3.5.
	Downgrade(ctx context.Context, action DowngradeAction, version string) (*DowngradeResponse, error)
}

type maintenance struct {
	at      func(endpoint string) (memberClient, error)
	leader  func(context.Context) context.Context // makes calls go to the leader; may be nil
	remote  pb.MaintenanceClient
	callOpt []grpc.CallOption
}

// memberClient makes calls to one member.
type memberClient struct {
	pb.MaintenanceClient
	pin  func(context.Context) context.Context // makes them go there
	done func()                                // gives the connection back
}

func noPin(ctx context.Context) context.Context { return ctx }

// NewMaintenance returns a Maintenance over the client's connection.
func NewMaintenance(c *Client) Maintenance {
	return &maintenance{at: c.maintenanceAt, leader: c.toLeader, remote: RetryMaintenanceClient(c, nil)}
}

// NewMaintenanceFromMaintenanceClient returns a Maintenance over any protobuf client, which is used
// for every endpoint; c gives the call options and may be nil.
func NewMaintenanceFromMaintenanceClient(remote pb.MaintenanceClient, c *Client) Maintenance {
	return &maintenance{
		at:     func(string) (memberClient, error) { return memberClient{remote, noPin, func() {}}, nil },
		remote: remote, callOpt: c.callOptions(),
	}
}

// onEndpoint makes a call on one endpoint.
func onEndpoint[Req, Resp any](
	m *maintenance,
	ctx context.Context,
	method, endpoint string,
	req Req,
	call func(pb.MaintenanceClient) func(context.Context, Req, ...grpc.CallOption) (Resp, error),
) (resp Resp, err error) {
	if ctx == nil {
		return resp, errNilContext(method)
	}
	member, err := m.at(endpoint)
	if err != nil {
		return resp, err
	}
	defer member.done()
	return invoke(member.pin(ctx), method, m.callOpt, call(member), req)
}

func (m *maintenance) AlarmList(ctx context.Context) (*AlarmResponse, error) {
	r, err := invoke(ctx, "Maintenance.Alarm", m.callOpt, m.remote.Alarm, &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
	return (*AlarmResponse)(r), err
}

func (m *maintenance) AlarmDisarm(ctx context.Context, am *AlarmMember) (*AlarmResponse, error) {
	if ctx == nil {
		return nil, errNilContext("Maintenance.Alarm")
	}
	if am == nil {
		am = &AlarmMember{}
	}
	if am.MemberID != 0 || am.Alarm != pb.AlarmType_NONE {
		return m.disarm(ctx, am.MemberID, am.Alarm)
	}
	list, err := m.AlarmList(ctx)
	if err != nil {
		return nil, err
	}
	all := &AlarmResponse{Header: list.Header}
	for _, a := range list.Alarms {
		r, err := m.disarm(ctx, a.MemberID, a.Alarm)
		if err != nil {
			return nil, err
		}
		all.Header = r.Header
		all.Alarms = append(all.Alarms, r.Alarms...)
	}
	return all, nil
}

func (m *maintenance) disarm(ctx context.Context, member uint64, alarm pb.AlarmType) (*AlarmResponse, error) {
	r, err := invoke(ctx, "Maintenance.Alarm", m.callOpt, m.remote.Alarm,
		&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: member, Alarm: alarm})
	return (*AlarmResponse)(r), err
}

func (m *maintenance) Defragment(ctx context.Context, endpoint string) (*DefragmentResponse, error) {
	r, err := onEndpoint(
		m,
		ctx,
		"Maintenance.Defragment",
		endpoint,
		&pb.DefragmentRequest{},
		func(c pb.MaintenanceClient) func(context.Context, *pb.DefragmentRequest,
			...grpc.CallOption) (*pb.DefragmentResponse, error) {
			return c.Defragment
		},
	)
	return (*DefragmentResponse)(r), err
}

func (m *maintenance) Status(ctx context.Context, endpoint string) (*StatusResponse, error) {
	r, err := onEndpoint(
		m,
		ctx,
		"Maintenance.Status",
		endpoint,
		&pb.StatusRequest{},
		func(c pb.MaintenanceClient) func(context.Context, *pb.StatusRequest,
			...grpc.CallOption) (*pb.StatusResponse, error) {
			return c.Status
		},
	)
	return (*StatusResponse)(r), err
}

func (m *maintenance) HashKV(ctx context.Context, endpoint string, rev int64) (*HashKVResponse, error) {
	r, err := onEndpoint(
		m,
		ctx,
		"Maintenance.HashKV",
		endpoint,
		&pb.HashKVRequest{Revision: rev},
		func(c pb.MaintenanceClient) func(context.Context, *pb.HashKVRequest,
			...grpc.CallOption) (*pb.HashKVResponse, error) {
			return c.HashKV
		},
	)
	return (*HashKVResponse)(r), err
}

func (m *maintenance) MoveLeader(ctx context.Context, transfereeID uint64) (*MoveLeaderResponse, error) {
	if m.leader != nil && ctx != nil {
		ctx = m.leader(ctx)
	}
	r, err := invoke(
		ctx,
		"Maintenance.MoveLeader",
		m.callOpt,
		m.remote.MoveLeader,
		&pb.MoveLeaderRequest{TargetID: transfereeID},
	)
	return (*MoveLeaderResponse)(r), err
}

func (m *maintenance) Downgrade(
	ctx context.Context,
	action DowngradeAction,
	version string,
) (*DowngradeResponse, error) {
	if _, ok := pb.DowngradeRequest_DowngradeAction_name[int32(action)]; !ok {
		return nil, etcderr.Invalid("Maintenance.Downgrade", "unknown downgrade action %d", action)
	}
	r, err := invoke(ctx, "Maintenance.Downgrade", m.callOpt, m.remote.Downgrade,
		&pb.DowngradeRequest{Action: pb.DowngradeRequest_DowngradeAction(action), Version: version})
	return (*DowngradeResponse)(r), err
}

func (m *maintenance) SnapshotWithVersion(ctx context.Context) (*SnapshotResponse, error) {
	s, err := m.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	first, err := s.next()
	if err != nil && err != io.EOF {
		_ = s.Close()
		return nil, err
	}
	return &SnapshotResponse{Header: first.GetHeader(), Snapshot: s, Version: first.GetVersion()}, nil
}

func (m *maintenance) Snapshot(ctx context.Context) (io.ReadCloser, error) {
	s, err := m.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (m *maintenance) snapshot(ctx context.Context) (*snapshotReader, error) {
	if ctx == nil {
		return nil, errNilContext("Maintenance.Snapshot")
	}
	sctx, cancel := context.WithCancel(ctx)
	stream, err := m.remote.Snapshot(sctx, &pb.SnapshotRequest{}, m.callOpt...)
	if err != nil {
		cancel()
		return nil, ContextError(ctx, err)
	}
	return &snapshotReader{ctx: ctx, stream: stream, cancel: cancel}, nil
}

// snapshotReader reads the chunks of a snapshot stream as they are asked for; it
// has no goroutine. Read is for one goroutine, Close for any.
type snapshotReader struct {
	ctx    context.Context // the caller's
	stream grpc.ServerStreamingClient[pb.SnapshotResponse]
	cancel context.CancelFunc
	closed atomic.Bool
	rest   []byte // of the last chunk
	err    error  // sticky
}

func (s *snapshotReader) next() (*pb.SnapshotResponse, error) {
	var m *pb.SnapshotResponse
	// The whole rest may lie in gRPC's buffers, which it gives out after the end of the context
	// too.
	err := s.ctx.Err()
	if err == nil {
		m, err = s.stream.Recv()
	}
	if err != nil {
		s.err = err
		if err != io.EOF {
			s.err = ContextError(s.ctx, err)
		}
		s.cancel()
		return nil, s.err
	}
	s.rest = m.GetBlob()
	return m, nil
}

// Read implements io.Reader; io.EOF comes only after the whole snapshot.
func (s *snapshotReader) Read(b []byte) (int, error) {
	for len(s.rest) == 0 && !s.closed.Load() && s.err == nil {
		_, _ = s.next() // it keeps its error
	}
	switch {
	case s.closed.Load():
		return 0, io.ErrClosedPipe
	case len(s.rest) == 0:
		return 0, s.err
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Close ends the snapshot: later reads fail with io.ErrClosedPipe.
func (s *snapshotReader) Close() error {
	s.closed.Store(true)
	s.cancel()
	return nil
}
