// Package balancer knows the members of the cluster: which are connected, which
// of them answer, and which one the next attempt goes to.
//
// # States
//
//	Connecting --connection ready--> Healthy
//	Healthy    --calls wait, no byte for SuspectAfter--> Suspect (probe: is it alive?)
//	Healthy    --streams, no byte for StreamProbeAfter, probe unanswered--> Ejected
//	Healthy    --calls elsewhere, no byte for ActiveProbeAfter, probe unanswered--> Ejected
//	Suspect    --any byte, and no call that needs consensus waits--> Healthy
//	Suspect    --probe unanswered for ProbeTimeout--> Ejected
//	Healthy    --calls that need consensus wait for StallAfter--> Suspect (probe read: does it finish calls?)
//	Suspect    --probe read unanswered--> Stalled
//	any        --"no leader", "request timed out", "learner"--> Stalled
//	Stalled    --an answered linearizable read, or a finished call that needs consensus--> Healthy
//	Ejected    --fresh connection and an answered probe--> Healthy
//	any        --connection lost--> Connecting
//
// New calls go to healthy members; to suspect ones if there is no healthy one,
// to stalled ones if there is nothing else (if all are stalled, none is). The
// last usable member is never ejected (stalled ones that show life count as usable); if it stays silent for long its
// connection is replaced by a fresh one, since a dead connection to a living
// server looks the same.
//
// A member that nobody calls, because others are faster, is measured by the second
// kind of probe every few seconds while calls are under way, and competes again if it
// has become fast.
//
// The probe for life is gRPC's health check, answered without consensus; any
// answer counts, also "unimplemented". The probe for consensus is a
// linearizable read of one key; any answer that is not about missing leadership
// counts, also "permission denied". Probes run on the very connection that they
// judge.
//
// # Time
//
// One monitor per client looks at the members every watchEvery while calls are
// under way, more rarely while there are only streams, and sleeps otherwise: an
// idle client without streams sends nothing and does nothing. If the monitor
// wakes far too late, this process was paused; then all silence starts to count
// from that moment.
//
// # Concurrency
//
// Set.mu guards all states. Transitions are computed by the methods in core.go,
// which do no I/O: what is to be done (probe, close a connection, move streams)
// is collected as effects and carried out after the lock is released, by
// shell.go. The picker works on an immutable view and takes no lock.
package balancer
