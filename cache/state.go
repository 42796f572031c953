package cache

import "time"

// State is how good the copy of one prefix is.
type State struct {
	Prefix string
	// Ready: the keys are there. They stay through outages.
	Ready bool
	// Revision is the store's revision up to which all changes of the prefix are in.
	Revision int64
	// Keys is how many there are.
	Keys int
	// Age is how long ago the copy was last known to be right: below a second while etcd can
	// be reached, also if nothing changes; it grows during an outage. A member that falls
	// silent counts as reached until the client has noticed, which takes up to three seconds.
	Age time.Duration
	// Connected: a member answers and follows a leader, and the watch is under way.
	Connected bool
	// Err is why the keys cannot be listed or watched; nil if they can, and during outages
	// that the client is overcoming by itself.
	Err error
	// Lists is how often all keys were listed, the first time included: it grows when
	// revisions that were needed had been compacted. Resets is how often the revisions began
	// anew: the cluster was restored from a backup.
	Lists, Resets int
	// Forwarded is how many consistent reads were sent to etcd since the copy could not be
	// brought up to date soon enough.
	Forwarded int64
}

// States are the states of the prefixes, in their order.
func (c *Cache) States() []State {
	list := make([]State, len(c.feeds))
	for i, f := range c.feeds {
		list[i] = f.state()
	}
	return list
}

// Age is the greatest Age of all prefixes: how old at most a serializable answer is. ok is
// false until the cache is ready.
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
