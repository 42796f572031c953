// Package etcdtest runs real etcd servers for tests: single members and clusters, of several
// versions, that can be frozen, killed, restarted, put behind a faulty network and cut off from
// their peers.
//
// A test says
//
//	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
//	client := dial(c.Endpoints())
//	c.Leader(t).Freeze()
//
// and has nothing to clean up. Tests that leave no state behind may share one server per test
// binary (Shared); a package that does, or that wants the leak check, has
//
//	func TestMain(m *testing.M) { etcdtest.Main(m) }
//
// The servers are built once from the module tools/ and kept in the user's cache directory.
// Everything listens on 127.0.0.1 only. Nothing outlives the test binary, however it ends:
// processes die with it (Linux's parent-death signal), and the directories of one that was killed
// are removed by the next.
//
// The package knows no etcd client, so that the client's own internal tests can use it: it finds
// the leader and the state of a member in the metrics that the server publishes.
package etcdtest
