package cache

import "time"

// State says how good the copy of one prefix is; see [Cache.States].
type State struct {
	Prefix string
	// Ready: the keys are there. They stay there through outages.
	Ready bool
	// Revision is the store's revision up to which the copy has all changes of the prefix.
	Revision int64
	// Keys is the number of keys.
	Keys int
	// Age is how long ago the copy was last known to be right: below a second while etcd can be
	// reached, also if nothing changes; it grows during an outage. A member that falls silent
	// counts as reached until the client has noticed the silence, which takes up to three seconds.
	Age time.Duration
	// Connected: a member answers and follows a leader, and the watch is under way.
	Connected bool
	// Err is why the keys cannot be listed or watched. It is nil if they can be, and during outages
	// that the client overcomes by itself.
	Err error
	// Lists is how often all keys were listed, the first time included. It grows when needed
	// revisions were compacted. Resets is how often the revisions began anew, because the cluster
	// was restored from a backup or replaced.
	Lists, Resets int
	// Forwarded is how many consistent reads were sent to etcd because the copy could not be
	// brought up to date soon enough.
	Forwarded int64
}

// States returns the state of each prefix, in the order of the prefixes.
func (c *Cache) States() []State {
	list := make([]State, len(c.feeds))
	for i, f := range c.feeds {
		list[i] = f.state()
	}
	return list
}

// Age returns the greatest [State.Age] of all prefixes: the greatest age of a serializable answer.
// ok is false until the cache is ready.
func (c *Cache) Age() (age time.Duration, ok bool) {
	for _, f := range c.feeds {
		s := f.state()
		if !s.Ready {
			return 0, false
		}
		age = max(age, s.Age)
	}
	return age, true
}
