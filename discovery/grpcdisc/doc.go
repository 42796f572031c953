// Package grpcdisc connects gRPC with package discovery: a resolver that follows a
// Directory, and package pick's policies as gRPC balancers.
//
//	conn, err := grpc.NewClient("etcd:///orders", grpc.WithResolvers(grpcdisc.NewBuilder(directory)),
//		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"fairlead_p2c":{}}]}`), ...)
//
// # Resolver
//
// The service is the path of the target without its first slash. Any number of connections
// share the directory's one watch per service. Each instance that does not drain is an
// endpoint with its addresses; of addresses with schemes the grpc ones are taken, if there
// are any, else those without a scheme, else all. The instance itself (weight, zone,
// version, tags, metadata) is an attribute of the endpoint, see Instance; since it is
// none of the address, a change of it leaves connections alone. Of several instances at one
// address the first in the order of their keys counts.
//
// gRPC learns of a service without instances too: calls fail at once with code Unavailable, or
// wait if they carry grpc.WaitForReady. Neither building nor closing waits for etcd. While
// etcd is away the last instances stay; if there never were any, calls begin to fail
// after 3 s and say so. An instance that drains or goes gets no new calls, those under way
// are finished.
//
// The resolver works with all balancers, and the balancers with all resolvers: endpoints
// without the attribute are instances of common weight, named by their address.
//
// # Balancers
//
// Importing the package registers them, by these names: fairlead_round_robin,
// fairlead_random, fairlead_weighted, fairlead_p2c, fairlead_least, fairlead_hash. The
// latter takes its key from the context of the call, see pick.WithKey. All take the same
// configuration, every field of which may be left out:
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
// Where operators split the calls to a service (discovery.Split), all of them follow that, and
// changes of it, at once. Calls whose context has the same key go to the same subset.
//
// Only instances to which there is a connection are picked. A call counts as failed if its
// code is Unavailable, or DeadlineExceeded without a byte of an answer in several times what the
// instance takes, and its method on any instance, unless its proto says that it streams: that may
// be quiet for long. So a method that ends at its deadline, or takes that long, blames nobody. It
// counts not at all if it was cancelled, the caller was in a hurry, or its own limits stopped it.
// All else is an answer. An instance that stands still is ejected with the first call that waits
// for a second or more in vain, see Silence in package pick. Latency is the whole duration of a
// call, so for services whose calls are mostly long streams fairlead_least fits better than
// fairlead_p2c.
//
// Options of package pick that no text has, such as hooks, go to the balancers by [WithPicking].
//
// # Attempts
//
// [NewInterceptor] makes an interceptor that repeats a unary call on another instance if it failed
// with Unavailable and is idempotent: its proto says so (option idempotency_level), or
// [WithIdempotent]. [WithAttemptTimeout] has a call go on elsewhere when an instance stands still,
// [WithHedging] asks a second one beside a slow one. The context, headers, reply and errors are as
// of one call; an error of several attempts says what became of each. Retries are one for five
// calls, after a burst of 1000, hedges one for twenty after a burst of 100. Calls that are not
// idempotent are left to gRPC, which itself repeats what no server has seen. It needs one of the
// balancers above.
//
//	grpc.WithUnaryInterceptor(grpcdisc.NewInterceptor(grpcdisc.WithAttemptTimeout(time.Second),
//		grpcdisc.WithIdempotent("/shop.Orders/Get")))
//
// # Concurrency
//
// Builders, resolvers, balancers and interceptors are safe for concurrent use. Close connections
// before the directory; those that are not closed keep the addresses that they have.
package grpcdisc
