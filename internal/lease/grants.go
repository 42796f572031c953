package lease

import "time"

// maxGrants bounds the memory of grants that are not kept alive (yet). If a grant is dropped, only
// its TTL before the first answer is lost.
const maxGrants = 1024

type grant struct{ ttl, sent, slept time.Duration }

// grants remembers the last maxGrants grants.
type grants struct {
	byID  map[int64]grant
	order []int64 // a ring of ids once it is full; some may have been taken
	next  int
}

func (g *grants) put(id int64, x grant) {
	if g.byID == nil {
		g.byID = map[int64]grant{}
	}
	g.byID[id] = x
	if len(g.order) < maxGrants {
		g.order = append(g.order, id)
		return
	}
	old := g.order[g.next]
	g.order[g.next] = id
	g.next = (g.next + 1) % maxGrants
	if old != id {
		delete(g.byID, old)
	}
}

func (g *grants) take(id int64) (grant, bool) {
	x, ok := g.byID[id]
	delete(g.byID, id)
	return x, ok
}
