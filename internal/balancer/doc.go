// Package balancer knows the members of the cluster: which are connected, which
// of them answer, and which one the next attempt goes to.
//
// # Members
//
//	Connecting --connection ready-------------------------------------> Healthy
//	Healthy    --calls wait for consensus, and so does a probe read,
//	             though a health check comes through-------------------> Stalled
//	any        --"no leader", "request timed out", "learner"------------> Stalled
//	Stalled    --a finished call or probe that needs consensus----------> Healthy
//	Healthy,   --no byte, though calls wait, a stream is quiet or others
//	Stalled      are called; and no answer to a health check-----------> Ejected
//	Ejected    --a byte on the silent connection, or a health check
//	             answered on a second one------------------------------> Healthy
//	any but    --connection lost--------------------------------------> Connecting
//	Ejected
//
// A member that was stalled is Stalled again instead of Healthy. New calls go to healthy
// members, of these to those in doubt (calls wait for longer than usual) only if there is
// no other; to stalled ones only if none is healthy beyond doubt.
//
// Changes wait as soon as no member finishes anything for three times as long as usual (holds,
// in picker.go), until one does: in an election the servers lose proposals without reporting it.
// Reads, which lose nothing, find out when the election is over.
//
// # Connections
//
// A member has one connection in use. The others are made beside it:
//
//	in use   gets the ordinary calls and streams
//	next     made when the one in use is silent; takes its place when it has answered,
//	         dropped if the silent one speaks first
//	lane     for snapshots and streams of ranges, so that they delay nothing; made when
//	         first needed, closed when idle. If it cannot be had the one in use serves
//	retired  takes nothing new; closed when its work has ended, or when it is dead
//
// Work on a connection is ended by cancelling its context, never by closing the
// connection, so it does not matter whose dialer and credentials made that. What a verdict
// does depends on the class of the work:
//
//	                 Read                         Session          Write, Bulk
//	stalled          goes, if it needs consensus  goes             stays
//	ejected          goes                         ends             stays
//	second answers   goes                         goes             stays
//	conn. lost       stays                        goes             stays
//	left endpoints   stays                        goes after 0.2 s stays
//	conn. dead       ends                         ends             ends
//
// Work that goes needs a place: a healthy member if its own is stalled, any other that could
// take calls if its own is ejected or its connection lost; else it stays until there is one: a
// server that shuts down serves its streams for seconds, if others' keep it up, and leases would
// expire meanwhile. A stream of much data that resumes is moved as reads are, and so is a write
// whose caller finds out by itself what came of it (clientv3.WithEarlyDoubt).
//
// A connection is dead when it answers no health check for 2 s while a newer one to the
// same member does, or after 30 s of silence. Members that leave the endpoints are judged
// in the same way until their work has ended.
//
// # Probes
//
// One function, due, says which probe a connection needs. The probe for life is gRPC's
// health check; any answer counts, and so does any byte that arrives meanwhile. The probe
// for consensus is a linearizable read of one key; any answer that is not about missing
// leadership counts. If it goes unanswered a health check has to come through on the same
// connection before the member is called stalled: else the connection is merely full. It may take
// ten seconds; a connection that falls silent meanwhile gets a probe for life beside it.
//
// A member with quiet streams is asked for its status instead, which is life as well and says
// whether it has a leader; the health check follows if it does not answer as soon as calls do. A
// member without a leader gets a probe for consensus: it may be cut off from the others, which ends
// its streams only after some seconds. A stream that begins waits for its first byte as a call
// waits for its answer. One that has sent a request and gets no message although the member lives
// is a reason for a probe for consensus.
//
// When a probe for life waits for longer than calls do, the client asks the other members too, so
// that work that leaves a silent member finds one that is known to live.
//
// # Time
//
// Limits follow what is usual for each member (limits.go): silence three times its calls
// (200 ms to 3 s), a health check three times its round trip (1 to 10 s), a read for
// consensus four times its calls (500 ms to 10 s), making a lane ten times its round trip (200 ms
// to 1 s). Config pins all but the last. A lone endpoint whose silent connection was replaced
// twice within a minute has twice as long for a health check, and so on (lenient).
//
// One monitor per client looks at the members every watchEvery while calls are
// under way, more rarely while there are only streams, and sleeps otherwise: an
// idle client without streams sends nothing and does nothing. If the monitor
// wakes far too late, this process was paused; then all silence starts to count
// from that moment.
//
// # Concurrency
//
// Set.mu guards all states. Transitions (core.go) and the monitor's look (tick.go) do no
// I/O: what is to be done is collected as effects and carried out after the lock is
// released, by shell.go. The picker works on an immutable view and takes no lock of the
// set's; each connection has a lock for the list of what runs on it. testdata has the
// scenarios, which run without network and clock.
package balancer
