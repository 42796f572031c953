package doctor

// meanings are a name for each rule's findings and what follows from them, in words for people who
// do not know etcd's.
var meanings = map[string]struct{ title, means string }{
	"unreachable":      {"Not reachable", "nothing can be read or written from here"},
	"refused":          {"Not allowed", "nothing can be said of the cluster"},
	"member-list":      {"Members unknown", "members that no endpoint leads to were not looked at"},
	"no-quorum":        {"No quorum", "writes are refused, and reads except serializable ones"},
	"no-reads":         {"No answers", "writes and reads fail, except serializable reads"},
	"no-leader":        {"No leader", "what is asked there waits, except serializable reads"},
	"two-leaders":      {"Two leaders", "one of them is deposed, and refuses writes"},
	"silent":           {"Member down", "the other members go on without it"},
	"never-started":    {"Member not started", "it counts for the quorum all the same"},
	"advertised":       {"Address leads nowhere", "clients that ask the cluster for its addresses are sent there"},
	"no-space":         {"No space", "the whole cluster refuses all writes but deletions"},
	"corrupt":          {"Corrupt data", "the cluster refuses requests, since members would give different answers"},
	"nearly-full":      {"Nearly full", "when it is full, all writes but deletions are refused"},
	"file-nearly-full": {"Nearly full", "when it is full, all writes but deletions are refused"},
	"fragments":        {"Unused space", "the disk holds more than it has to"},
	"lossy-version":    {"Faulty version", "a member that crashes may have other data than the others afterwards"},
	"old-version":      {"Old version", "faults that are found are not mended there"},
	"mixed-versions":   {"Mixed versions", "the cluster offers only what the oldest version can"},
	"downgrade":        {"Downgrade", "the cluster offers only what the older version can"},
	"slow":             {"Slow member", "what is asked there takes longer; this client avoids it by itself"},
	"far":              {"Far away", "every request takes that long"},
	"disk":             {"Slow disk", "writes take longer, and elections are more likely"},
	"lag":              {"Member behind", "serializable reads there give old data"},
	"learner":          {"Learner ready", "it has all data and no vote"},
	"elections":        {"Elections", "writes wait during each"},
	"elections-before": {"Elections", "writes waited during each"},
	"certificate":      {"Certificate ends", "clients cannot connect any more then"},
	"own-certificate":  {"Certificate ends", "this client cannot connect any more then"},
	"clock":            {"Clock wrong", "certificates, tokens and logs go by clocks; leases do not"},
	"own-clock":        {"Clock wrong", "certificates, tokens and logs go by clocks; leases do not"},
	"late-leases":      {"Leases not renewed", "their keys are about to go"},
	"stampede":         {"Leases end together", "all watchers of their keys would get events at once"},
	"no-compaction":    {"Never compacted", "the database grows with every change"},
	"one-member":       {"One member", "while it is away, everything is"},
	"even":             {"Even number", "it survives no more failures than one member less would"},
	"many":             {"Many members", "each makes every write slower"},
	"no-auth":          {"No authentication", "everybody who reaches an endpoint can read and write everything"},
	"no-tls":           {"No encryption", "anybody on the network between can read and change what is sent"},
	"metrics-unknown":  {"No metrics", "disks, elections, clocks and certificates were not looked at"},
	"unknown":          {"Not looked at", "something may be wrong there"},
}

// stops are the rules whose findings make requests fail, whichever member is asked.
var stops = map[string]bool{"unreachable": true, "refused": true, "no-quorum": true, "no-reads": true, "no-space": true, "corrupt": true}
