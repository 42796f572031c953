package registry

import (
	"context"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
)

// patience is how long a linearizable answer is waited for before one member is asked as well: far
// longer than a healthy cluster takes, and short for a call that waits for an address.
const patience = 200 * time.Millisecond

// get lists the prefix. If no quorum answers soon, get returns what one member has, so that names
// resolve without a quorum; the watch delivers later changes. That answer must not be older than
// the known state.
func (f *Follower) get(ctx context.Context) (r *clientv3.GetResponse, agreed bool, err error) {
	whole, cancel := context.WithCancel(ctx)
	defer cancel()
	current, settle := context.WithCancel(whole)
	defer settle()
	var local *clientv3.GetResponse
	ask := sync.OnceFunc(func() {
		r, err := f.client.Get(whole, f.prefix, clientv3.WithPrefix(), clientv3.WithSerializable())
		if err == nil && r.Header.GetRevision() >= max(f.AtLeast, f.Revision()) {
			local = r
			settle()
		}
	})
	timer := time.AfterFunc(patience, ask)
	r, err = f.client.Get(current, f.prefix, clientv3.WithPrefix())
	waiting := timer.Stop()
	switch {
	case err == nil, Refused(err):
		cancel()
		if !waiting {
			ask() // returns when ctx ends
		}
		return r, err == nil, err
	default:
		ask()
	}
	if local == nil {
		return nil, false, err
	}
	return local, false, nil
}
