// Package naming is the older way to let gRPC find services through etcd: a GRPCResolver writes and
// watches the addresses of a service. It was made with types that gRPC has dropped; they are
// defined here. Package endpoints below it does the same with more control, and package resolver
// passes addresses to today's gRPC. All three store records in the same format.
//
// To register an address, for as long as a lease lives if one is given:
//
//	r := &naming.GRPCResolver{Client: cli}
//	err := r.Update(ctx, "orders", naming.Update{Op: naming.Add, Addr: "10.0.0.1:8080"}, clientv3.WithLease(lease))
//
// To call the service, where programs for older versions of gRPC had a balancer made of a
// GRPCResolver:
//
//	b, err := resolver.NewBuilder(cli)
//	conn, err := grpc.NewClient("etcd:///orders", grpc.WithResolvers(b),
//		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`), ...)
//
// To withdraw it:
//
//	err := r.Update(ctx, "orders", naming.Update{Op: naming.Delete, Addr: "10.0.0.1:8080"})
//
// Names resolve without a quorum too: if none answers within 0.2 s, the records that one member has
// are used, unless the process knows newer ones. Everything here is safe for concurrent use.
package naming
