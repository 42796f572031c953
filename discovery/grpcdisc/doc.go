// Package grpcdisc connects gRPC with package [github.com/fairlead-go/fairlead/discovery]: a
// resolver that follows a [discovery.Directory], and the policies of package
// [github.com/fairlead-go/fairlead/discovery/pick] as gRPC balancers.
//
//	conn, err := grpc.NewClient("etcd:///orders", grpc.WithResolvers(grpcdisc.NewBuilder(directory)),
//		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"fairlead_p2c":{}}]}`), ...)
//
// # Resolver
//
// The service is the path of the target without its first slash. Any number of connections share
// the directory's one watch per service. Each instance that does not drain is an endpoint with its
// addresses: the grpc ones if it has any, else those without a scheme, else all. The instance
// itself (weight, zone, version, tags, metadata) is an attribute of the endpoint, see [Instance].
// Since it is no part of the address, a change of it leaves connections alone. Of several instances
// at one address the first in the order of their keys counts.
//
// gRPC learns of a service without instances too: calls fail at once with code Unavailable, or wait
// if they carry grpc.WaitForReady. Neither building nor closing waits for etcd. While etcd is away
// the last instances stay. If there never were any, calls fail after 3 s, and their error says so.
// An instance that drains or goes gets no new calls; calls under way are finished.
//
// The resolver works with all balancers, and the balancers with all resolvers: endpoints
// without the attribute are instances of common weight, named by their address.
//
// # Balancers
//
// Importing the package registers them, by these names: fairlead_round_robin, fairlead_random,
// fairlead_weighted, fairlead_p2c, fairlead_least, fairlead_hash. The last takes its key from the
// context of the call, see [pick.WithKey]. All take the same configuration; every field may be left
// out:
//
//	{"fairlead_p2c": {
//		"zone": "east",             // preferred; or several in their order, ["east", "north"]
//		"spillOver": 8,             // calls under way at which an instance of the zone is full
//		"subset": 20,               // connect to that many only
//		"client": "web-3",          // chooses which; host name and process id by default
//		"filter": "v2",             // a discovery.Filter: those of a version, tag or metadata only
//		"warmUp": "30s",
//		"noEjection": false,
//		"ejection": {"failures": 5, "base": "10s", "max": "5m", "share": 0.5}
//	}}
//
// If operators split the calls to a service ([discovery.Split]), all balancers follow the split,
// and its changes, at once. Calls whose context has the same key go to the same subset.
//
// Only instances with a connection are picked. A call counts as failed if its code is Unavailable.
// It also counts as failed if its code is DeadlineExceeded, without a byte of an answer in several
// times the usual latency of the instance, and of its method on any instance; but not if its proto
// says that it streams, since a stream may be quiet for long. So a method that ends at its
// deadline, or usually takes that long, discredits no instance. A call does not count at all if it
// was cancelled, the caller was in a hurry, or its own limits stopped it. Everything else is an
// answer. A frozen instance is ejected with the first call that waits in vain for a second or more.
// A call that still waits after a second keeps new ones away from an instance that answers nothing,
// whatever its deadline; see Silence in package pick. Latency is the whole duration of a call, so
// for services whose calls are mostly long streams fairlead_least fits better than fairlead_p2c.
//
// [WithPicking] passes the balancers options of package pick that the configuration cannot express,
// such as hooks.
//
// # Attempts
//
// [NewInterceptor] makes an interceptor that repeats a unary call on another instance if it failed
// with Unavailable and is idempotent: its proto says so (option idempotency_level), or
// [WithIdempotent] does. With [WithAttemptTimeout] a call goes on elsewhere when an instance is
// frozen; with [WithHedging] it is also sent to a second instance when the first is slow. The
// context, headers, reply and errors are as of one call; an error of several attempts says how each
// of them ended. There is one retry for five calls, after a burst of 1000, and one hedge for twenty
// after a burst of 100. Calls that are not idempotent are left to gRPC, which itself repeats calls
// that no server has seen. The interceptor needs one of the balancers above.
//
//	grpc.WithUnaryInterceptor(grpcdisc.NewInterceptor(grpcdisc.WithAttemptTimeout(time.Second),
//		grpcdisc.WithIdempotent("/shop.Orders/Get")))
//
// # Concurrency
//
// Builders, resolvers, balancers and interceptors are safe for concurrent use. Close connections
// before the directory; open ones keep the addresses that they have.
package grpcdisc
