package pick

import (
	"context"
	"sync/atomic"
)

// RoundRobin picks one instance after the other, in the order of their keys, whatever their
// weights. New instances that warm up have fewer turns.
func RoundRobin() Policy { return roundRobin{} }

type roundRobin struct{}

func (roundRobin) needs() needs { return 0 }

func (roundRobin) build(nodes []*node, e *env) chooser {
	for _, n := range nodes {
		if n.warm < 1 {
			return inTurn(nodes, e, func(n *node) float64 { return n.warm })
		}
	}
	return &turns{nodes: nodes, turn: &e.turn}
}

// turns picks the next of its nodes; some nodes may be there several times.
type turns struct {
	nodes []*node
	turn  *atomic.Uint64
}

func (t *turns) choose(context.Context, int64) *node {
	return t.nodes[t.turn.Add(1)%uint64(len(t.nodes))]
}
