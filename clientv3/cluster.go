package clientv3

import (
	"context"
	"net/url"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// Member and the responses of Cluster are the wire messages under names of this
// package.
type (
	Member                pb.Member
	MemberListResponse    pb.MemberListResponse
	MemberAddResponse     pb.MemberAddResponse
	MemberRemoveResponse  pb.MemberRemoveResponse
	MemberUpdateResponse  pb.MemberUpdateResponse
	MemberPromoteResponse pb.MemberPromoteResponse
)

// Cluster manages the membership of the cluster. All methods are safe for
// concurrent use and honour their context.
type Cluster interface {
	// MemberList lists the members that the whole cluster agrees on; with WithSerializable those
	// that the asked member knows.
	MemberList(ctx context.Context, opts ...OpOption) (*MemberListResponse, error)

	// MemberAdd adds a voting member with the given peer URLs.
	MemberAdd(ctx context.Context, peerAddrs []string) (*MemberAddResponse, error)

	// MemberAddAsLearner adds a member that receives all data and has no vote.
	MemberAddAsLearner(ctx context.Context, peerAddrs []string) (*MemberAddResponse, error)

	// MemberRemove removes a member.
	MemberRemove(ctx context.Context, id uint64) (*MemberRemoveResponse, error)

	// MemberUpdate changes a member's peer URLs.
	MemberUpdate(ctx context.Context, id uint64, peerAddrs []string) (*MemberUpdateResponse, error)

	// MemberPromote makes a learner that has caught up a voting member.
	MemberPromote(ctx context.Context, id uint64) (*MemberPromoteResponse, error)
}

type cluster struct {
	remote  pb.ClusterClient
	callOpt []grpc.CallOption
}

// NewCluster returns a Cluster over the client's connection.
func NewCluster(c *Client) Cluster { return &cluster{remote: RetryClusterClient(c)} }

// NewClusterFromClusterClient returns a Cluster over any protobuf client; c gives
// the call options and may be nil.
func NewClusterFromClusterClient(remote pb.ClusterClient, c *Client) Cluster {
	return &cluster{remote: remote, callOpt: c.callOptions()}
}

func (c *cluster) MemberList(ctx context.Context, opts ...OpOption) (*MemberListResponse, error) {
	op := OpGet("", opts...)
	r, err := invoke(
		ctx,
		"Cluster.MemberList",
		c.callOpt,
		c.remote.MemberList,
		&pb.MemberListRequest{Linearizable: !op.serializable},
	)
	return (*MemberListResponse)(r), err
}

func (c *cluster) MemberAdd(ctx context.Context, peerAddrs []string) (*MemberAddResponse, error) {
	return c.add(ctx, peerAddrs, false)
}

func (c *cluster) MemberAddAsLearner(ctx context.Context, peerAddrs []string) (*MemberAddResponse, error) {
	return c.add(ctx, peerAddrs, true)
}

func (c *cluster) add(ctx context.Context, peerAddrs []string, learner bool) (*MemberAddResponse, error) {
	if err := checkPeerURLs("Cluster.MemberAdd", peerAddrs); err != nil {
		return nil, err
	}
	r, err := invoke(
		ctx,
		"Cluster.MemberAdd",
		c.callOpt,
		c.remote.MemberAdd,
		&pb.MemberAddRequest{PeerURLs: peerAddrs, IsLearner: learner},
	)
	return (*MemberAddResponse)(r), err
}

func (c *cluster) MemberRemove(ctx context.Context, id uint64) (*MemberRemoveResponse, error) {
	r, err := invoke(ctx, "Cluster.MemberRemove", c.callOpt, c.remote.MemberRemove, &pb.MemberRemoveRequest{ID: id})
	return (*MemberRemoveResponse)(r), err
}

func (c *cluster) MemberUpdate(ctx context.Context, id uint64, peerAddrs []string) (*MemberUpdateResponse, error) {
	if err := checkPeerURLs("Cluster.MemberUpdate", peerAddrs); err != nil {
		return nil, err
	}
	r, err := invoke(
		ctx,
		"Cluster.MemberUpdate",
		c.callOpt,
		c.remote.MemberUpdate,
		&pb.MemberUpdateRequest{ID: id, PeerURLs: peerAddrs},
	)
	return (*MemberUpdateResponse)(r), err
}

func (c *cluster) MemberPromote(ctx context.Context, id uint64) (*MemberPromoteResponse, error) {
	r, err := invoke(ctx, "Cluster.MemberPromote", c.callOpt, c.remote.MemberPromote, &pb.MemberPromoteRequest{ID: id})
	return (*MemberPromoteResponse)(r), err
}

// checkPeerURLs: a member added with a URL that cannot be reached endangers the
// quorum, so what is no URL at all is not even sent.
func checkPeerURLs(method string, urls []string) error {
	if len(urls) == 0 {
		return etcderr.Invalid(method, "no peer URL given")
	}
	for _, s := range urls {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			return etcderr.Invalid(method, "peer URL %q: %v", s, err)
		case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "unix" && u.Scheme != "unixs":
			return etcderr.Invalid(method, "peer URL %q: want http, https, unix or unixs", s)
		case u.Host == "" && u.Path == "":
			return etcderr.Invalid(method, "peer URL %q: the host is missing", s)
		case u.Port() == "" && (u.Scheme == "http" || u.Scheme == "https"):
			return etcderr.Invalid(method, "peer URL %q: the port is missing", s)
		}
	}
	return nil
}
