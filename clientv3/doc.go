// Package clientv3 is a client for etcd, source-compatible with
// go.etcd.io/etcd/client/v3: a program moves over by changing the import path.
//
//	cli, err := clientv3.New(clientv3.Config{
//		Endpoints:   []string{"localhost:2379", "localhost:22379", "localhost:32379"},
//		DialTimeout: 5 * time.Second,
//	})
//	if err != nil {
//		// handle error!
//	}
//	defer cli.Close()
//
//	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
//	resp, err := cli.Put(ctx, "sample_key", "sample_value")
//	cancel()
//
// # Members
//
// The client talks to all its endpoints and prefers those that answer fastest. A
// member that accepts connections but does not answer (a frozen process, a black
// hole in the network) is found by the client's own timers within about a second
// while calls are under way, within three while only watches and leases are kept;
// everything on it moves to other members then. A member that answers but cannot
// finish calls, because it has no leader for instance, gets none until it can.
// [Client.MemberStates] shows what the client knows.
//
// # Errors
//
// Three kinds of errors come back from calls:
//   - the context's own, context.Canceled or context.DeadlineExceeded, bare;
//   - a value of go.etcd.io/etcd/api/v3/v3rpc/rpctypes, bare, when the server gave
//     one of its known answers, so == works, as errors.Is does;
//   - an *Error for all else, which says what was tried where, wraps its cause, and
//     carries a gRPC status.
//
// Code gives the gRPC code of any of them, [OutcomeUnknown] and [SafeToRetry] say what a
// failed write may have done.
//
// # When nothing is available
//
// A call waits for a member as long as its context lasts. With [Config.FailFast] or
// [WithFailFast] it fails at once, with an error that says of each endpoint why it is
// down. If all endpoints prove to be no etcd servers, or certificates do not verify, a
// call without a deadline fails at once too. One with a deadline waits for it, since
// somebody may set that right; its error then is an *Error that says what is wrong, and
// errors.Is(err, context.DeadlineExceeded) holds.
package clientv3
