// Package xds is a control plane: it tells clients of xDS where the services are that are
// registered in etcd, over the aggregated protocol (ADS), state of the world and incremental. gRPC
// has such a client in every language:
//
//	xds:///orders
//
// names the service orders, and Envoy has one.
//
//	server, err := xds.New(directory)
//	g := grpc.NewServer(xds.ServerOptions()...)
//	server.Register(g)
//	err = g.Serve(listener)
//
// A service is followed once a client asks for it, and until nobody has for some minutes. Clients
// get of it:
//
//   - a listener and a route configuration with its name. The route leads to its cluster, or, if
//     operators split the calls (discovery.Split), to a cluster for each part;
//   - clusters, with circuit breaking and outlier detection as operators say (discovery.Limits);
//   - their endpoints. The locality's zone is the instance's; instances that drain are DRAINING.
//     Clients of gRPC look at no endpoint's weight, so instances of equal weight share a locality,
//     whose weight is their sum. Addresses are IP addresses: an instance without one is left out,
//     as clients would refuse the whole.
//
// While etcd is away, clients have what was last known, which the directory may take from files
// (discovery.WithFiles). A client never hears that a service that it knows is gone because the
// service is not known here yet.
//
// The parts: resources.go is what a view becomes, pure; names.go the names of clusters; service.go
// a service that is followed; server.go who asks for what.
package xds
