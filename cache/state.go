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
	// Age is how long ago the copy was last known to have everything that had been written: up to
	// a second, and the time of an answer, while etcd can be reached and the copy keeps up, also if
	// nothing changes. It grows during an outage. Of a copy that falls behind, over a slow link for
	// instance, it says how far behind. To know it a cache makes a linearizable read of one key a
	// second, unless consistent reads do. Where servers do not say how far a watch is (etcd's gRPC
	// proxy, etcd before 3.4.31 and 3.5.13), a watch that has said nothing for a second counts as
	// up to date, and Age is up to three seconds. If the watch is in fact stuck there, as while a
	// member behind the proxy is frozen, Age is right only if the key that was put last changes.
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
