// Package resolver lets gRPC find services whose endpoints are in etcd, as package
// endpoints of this module keeps them. It has the API of the official package of this
// name.
//
//	b, err := resolver.NewBuilder(cli)
//	conn, err := grpc.NewClient("etcd:///orders", grpc.WithResolvers(b),
//		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`), ...)
//
// # Targets
//
// The service is the path of the target without its first slash: "etcd:///orders",
// "etcd:///eu/orders". An authority ("etcd://any/orders") is not looked at. Endpoints are
// the keys that begin with the service and a slash, so a slash at the end counts:
// "etcd:///orders/" has the keys that begin with "orders//".
//
// # What gRPC gets
//
// gRPC gets each address once, in the order of the keys, as an endpoint of its own and in the plain
// list that older balancers use. Records without an address are left out. gRPC gets a new list only
// after a change. The metadata of a record are an attribute of both the address and the endpoint;
// balancers and transport credentials read them with Metadata. Since attributes belong to the
// address, gRPC makes a new connection to an endpoint whose metadata have changed, and finishes
// calls under way on the old one. (If the environment names an HTTP proxy for the addresses, gRPC
// does not pass attributes on.)
//
// gRPC learns of a service without endpoints too: calls then fail at once with code Unavailable,
// or wait if they carry grpc.WaitForReady.
//
// # When etcd is away
//
// Neither building nor closing waits for etcd. If no quorum answers within 0.2 s, the resolver
// takes the addresses that one member has, unless it knows newer ones. While etcd does not answer,
// gRPC keeps the last addresses. If it has none yet it gets the error, so that calls say why they
// fail. Within a second after the client has connected again the addresses are right, whatever was
// changed, compacted or restored in between.
//
// Builders and resolvers are safe for concurrent use; any number of connections may use one client.
// If the client is closed before the connections, they keep the addresses that they have.
package resolver
