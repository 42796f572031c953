// Package etcdtest runs real etcd servers for tests: single members and clusters, of several
// versions, that can be frozen, killed, restarted, put behind a faulty network and cut off from
// their peers.
//
// A test writes
//
//	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
//	client := dial(c.Endpoints())
//	c.Leader(t).Freeze()
//
// and has nothing to clean up. Tests that leave no state behind may share one server per test
// binary (Shared). A package that uses Shared, or that checks for leaked goroutines, has
//
//	func TestMain(m *testing.M) { etcdtest.Main(m) }
//
// The servers are built once from the module tools/ and kept in the user's cache directory.
// Everything listens on 127.0.0.1 only. Nothing outlives the test binary, however it ends:
// processes die with it (Linux's parent-death signal), and the directories of one that was killed
// are removed by the next.
//
// The package imports no etcd client, so that the client's own internal tests can use it. It reads
// from the server's metrics which member leads and how each one is.
package etcdtest
