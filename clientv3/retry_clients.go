package clientv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// RetryKVClient returns a protobuf client over the client's connection, with its
// picking and its repetitions.
func RetryKVClient(c *Client) pb.KVClient { return pb.NewKVClient(c.conns()) }

// RetryLeaseClient is like [RetryKVClient].
func RetryLeaseClient(c *Client) pb.LeaseClient { return pb.NewLeaseClient(c.conns()) }

// RetryClusterClient is like [RetryKVClient].
func RetryClusterClient(c *Client) pb.ClusterClient { return pb.NewClusterClient(c.conns()) }

// RetryAuthClient is like [RetryKVClient].
func RetryAuthClient(c *Client) pb.AuthClient { return pb.NewAuthClient(c.conns()) }

// RetryMaintenanceClient is like [RetryKVClient]; with a conn besides the client's own it uses that
// one as it is.
func RetryMaintenanceClient(c *Client, conn *grpc.ClientConn) pb.MaintenanceClient {
	if conn != nil && (!c.connected() || conn != c.link.raw) {
		return pb.NewMaintenanceClient(conn)
	}
	return pb.NewMaintenanceClient(c.conns())
}
