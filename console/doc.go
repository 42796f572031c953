// Package console is a web console for an etcd cluster: an http.Handler that any program can mount.
//
//	c, err := console.New(client, console.Token(secret))
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	http.ListenAndServe("127.0.0.1:2389", c)
//
// It shows the cluster and its members, services and their instances, keys with all revisions that
// are still there, changes as they happen, leases, locks and elections, users and roles. What is
// wrong with the cluster is seen on every page. It compacts, defragments, disarms alarms, moves the
// leader, changes members and sends snapshots, each after it showed what it will do. It edits keys
// with compare-and-swap, deletes what was previewed and nothing else, and drains and removes
// instances.
//
// # Who gets in
//
// A console needs a way in: Token, Login, or Open if the program that mounts it guards it itself.
// The pages hold no data and anybody may have them; everything under api/ needs a session. A
// session is a random cookie for this host, out of reach of scripts and of other sites, and a
// secret that the pages' scripts keep for their origin and send in a header: browsers send cookies
// to every port of a host. One user's sessions, pages and requests are bounded, so that others are
// not locked out.
//
// Requests are answered only for names that were allowed (Hosts; the loopback names always are), so
// that a foreign name that was made to point here leads nowhere. Requests that another site caused
// are refused. A strict content security policy lets the pages load nothing from elsewhere and run
// no script but their own; keys and values travel as base64 and are shown as text, never as markup.
//
// Whoever gets in may do what the client may do: that of the console, or with Login the client of
// the etcd user who logged in. ReadOnly refuses all that changes something.
//
// # What it costs the cluster
//
// While a page is open, one Status call per member and second for all who use the console's own
// client, and for each user who logged in, and the watches of the pages that are open. What is
// wrong is looked for once for everybody, every five seconds while a page is open and else every
// minute, so that it is known since when, and the last day is there for who comes later: some small
// reads, and three Status calls and with Metrics a page of metrics per member. Lists are read in
// pages. Counting, and what needs a scan, is done on demand only.
package console
