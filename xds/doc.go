// Package xds is a control plane: it tells clients of xDS where the services are that are
// registered in etcd. It speaks the aggregated protocol (ADS), state of the world and incremental.
// Envoy has such a client, and gRPC has one in every language, for which this names the service
// orders:
//
//	xds:///orders
//
// The program of a control plane:
//
//	server, err := xds.New(directory)
//	g := grpc.NewServer(xds.ServerOptions()...)
//	server.Register(g)
//	err = g.Serve(listener)
//
// A service is followed from the first request for it until nobody has asked for it for some
// minutes. For each service a client gets:
//
//   - a listener and a route configuration with the service's name. The route leads to its
//     cluster, or, if operators split the calls ([discovery.Split]), to a cluster for each part;
//   - clusters, with circuit breaking and outlier detection as operators set them
//     ([discovery.Limits]);
//   - their endpoints. The locality's zone is the instance's. Instances that drain are DRAINING.
//     Clients of gRPC ignore the weights of endpoints, so instances of equal weight share a
//     locality, whose weight is their sum. Addresses are IP addresses: an instance without one is
//     left out, since clients would refuse the whole answer.
//
// While etcd is away, clients have what was last known, which the directory may read from files
// ([discovery.WithFiles]). A service that is not known here yet is never reported as gone to a
// client that knows it.
//
// The parts: resources.go turns a view into resources, without side effects; names.go has the
// names of clusters; service.go follows a service; server.go keeps what the clients ask for.
package xds
