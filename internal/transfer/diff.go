package transfer

import (
	"context"
	"iter"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Difference is a key that differs between the two sides.
type Difference struct {
	Key            string // without the prefix, from Diff; whole, from Import
	HasOld, HasNew bool
	Old, New       string
}

// Side is one of the two sides of a comparison.
type Side struct {
	Client *clientv3.Client
	Prefix string
	Rev    int64 // 0: the latest
}

// Diff yields the keys that differ, in their order, without the sides' prefixes. Each side is read
// at one revision. The difference is from a to b: a key that only b has is new.
func Diff(ctx context.Context, a, b Side) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		nextA, stopA := iter.Pull2(a.read(ctx))
		defer stopA()
		nextB, stopB := iter.Pull2(b.read(ctx))
		defer stopB()
		ka, errA, okA := nextA()
		kb, errB, okB := nextB()
		for okA || okB {
			if errA != nil || errB != nil {
				if errA == nil {
					errA = errB
				}
				yield(Difference{}, errA)
				return
			}
			var d Difference
			switch {
			case !okB || okA && ka.key < kb.key:
				d = Difference{Key: ka.key, HasOld: true, Old: string(ka.Value)}
			case !okA || kb.key < ka.key:
				d = Difference{Key: kb.key, HasNew: true, New: string(kb.Value)}
			default:
				d = Difference{Key: ka.key, HasOld: true, HasNew: true, Old: string(ka.Value), New: string(kb.Value)}
			}
			if !(d.HasOld && d.HasNew && d.Old == d.New) && !yield(d, nil) {
				return
			}
			if d.HasOld {
				ka, errA, okA = nextA()
			}
			if d.HasNew {
				kb, errB, okB = nextB()
			}
		}
	}
}

// relative is a key-value, with its key without the prefix.
type relative struct {
	key string
	*mvccpb.KeyValue
}

func (s Side) read(ctx context.Context) iter.Seq2[relative, error] {
	return func(yield func(relative, error) bool) {
		var opts []clientv3.OpOption
		if s.Rev > 0 {
			opts = append(opts, clientv3.WithRev(s.Rev))
		}
		for kv, err := range s.Client.Range(ctx, s.Prefix, opts...) {
			if err != nil {
				yield(relative{}, err)
				return
			}
			if !yield(relative{string(kv.Key[len(s.Prefix):]), kv}, nil) {
				return
			}
		}
	}
}
