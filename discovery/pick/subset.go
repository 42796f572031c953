package pick

import (
	"cmp"
	"slices"

	"github.com/fairlead-go/fairlead/discovery"
)

// Subset chooses size of the instances for a client, the same ones each time, so that thousands of
// clients do not all connect to thousands of instances. Clients choose independently of each other,
// so instances get about equally many. When an instance comes or goes, at most one of the chosen
// changes (rendezvous hashing: Thaler, Ravishankar, "Using Name-Based Mappings to Increase Hit
// Rates", 1998). The order stays. If size is 0, or there are no more instances than that, it
// returns all.
//
// The client is a text that distinguishes this client from others, such as its host name and
// process id.
func Subset(instances []*discovery.Instance, client string, size int) []*discovery.Instance {
	return subset(instances, client, size, func(in *discovery.Instance) string { return in.ID })
}

// few returns the configured subset.
func (c *config) few(list []*node) []*node {
	return subset(list, c.client, c.size, func(n *node) string { return n.in.Load().ID })
}

func subset[T any](list []T, client string, size int, id func(T) string) []T {
	if size <= 0 || len(list) <= size {
		return list
	}
	type scored struct {
		score uint64
		at    int
	}
	h := hash(client)
	scores := make([]scored, len(list))
	for i, x := range list {
		scores[i] = scored{mix(h ^ hash(id(x))), i}
	}
	slices.SortFunc(scores, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.at, b.at))
	})
	scores = scores[:size]
	slices.SortFunc(scores, func(a, b scored) int { return cmp.Compare(a.at, b.at) })
	chosen := make([]T, size)
	for i, s := range scores {
		chosen[i] = list[s.at]
	}
	return chosen
}
