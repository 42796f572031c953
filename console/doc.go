// Package console is a web console for an etcd cluster: an http.Handler that any program can mount.
//
//	c, err := console.New(client, console.WithToken(secret))
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
// A console needs a way in: [WithToken], [WithLogin], or [WithOpenAccess] if the program that
// mounts it guards it itself. The pages hold no data and anybody may have them; everything under
// api/ needs a session. A session is a random cookie for this host, out of reach of scripts and of
// other sites, and a secret that the pages' scripts keep for their origin and send in a header:
// browsers send cookies to every port of a host. One user's sessions, pages and requests are
// bounded, so that others are not locked out.
//
// Requests are answered only for names that were allowed ([WithHosts]; the loopback names always
// are), so that a foreign name that was made to point here leads nowhere. Requests that another
// site caused are refused. A strict content security policy lets the pages load nothing from
// elsewhere and run no script but their own; keys and values travel as base64 and are shown as
// text, never as markup.
//
// A visitor may do what the client may do: the console's client, or with [WithLogin] the client of
// the etcd user who logged in. [WithReadOnly] refuses all that changes something.
//
// # What it costs the cluster
//
// While a page is open: one Status call per member and second for all who use the console's own
// client, one for each user who logged in, and the watches of the open pages. The console looks for
// what is wrong once for everybody, every five seconds while a page is open and else every minute.
// So it knows since when, and has the last day for later visitors. That takes some small reads,
// three Status calls and, with [WithMetrics], a page of metrics per member. Lists are read in
// pages. Counts and scans are made on demand only.
package console
