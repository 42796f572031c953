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
// are not compacted, changes as they happen, leases, locks and elections, users and roles. Every
// page shows the cluster's problems. The console compacts, defragments, disarms alarms, moves the
// leader, changes members and sends snapshots, each after it has shown what it will do. It edits
// keys with compare-and-swap, deletes the previewed keys and no others, and drains and removes
// instances.
//
// # Who gets in
//
// A console needs a way in: [WithToken], [WithLogin], or [WithOpenAccess] if the program that
// mounts it controls access itself. The pages have no data and are public; everything under api/
// needs a session. A session is a random cookie for this host, out of reach of scripts and of other
// sites, and a secret that the pages' scripts keep for their origin and send in a header, since
// browsers send cookies to every port of a host. The sessions, pages and requests of each user are
// bounded, so that one user cannot lock out others.
//
// The console answers only requests for allowed host names ([WithHosts]; the loopback names are
// always allowed), so that another site's name which resolves to this address is of no use. It
// refuses requests that another site caused. A strict content security policy lets the pages load
// nothing from elsewhere and run no script but their own. Keys and values travel as base64 and are
// shown as text, never as markup.
//
// A user may do what the client may do: the console's client, or with [WithLogin] the client of the
// etcd user who signed in. [WithReadOnly] refuses all changes.
//
// # What it costs the cluster
//
// While a page is open: one Status call per member and second for all sessions that use the
// console's own client, one for each user who signed in, and the watches of the open pages. The
// console checks the cluster for problems once for all users, every five seconds while a page is
// open and otherwise every minute. So it can show when a problem began, and the last day. That
// takes some small reads, three Status calls and, with [WithMetrics], a page of metrics per member.
// Lists are read in pages. Counts and scans are made only on demand.
package console
