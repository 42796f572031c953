package leasing

import (
	"strings"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

// endOfKeys is the end of a range that goes on to the last key.
const endOfKeys = "\x00"

// span is what a write may change: a key, or all keys from key to end.
type span struct {
	key string
	end string // "": only key
}

func (s span) covers(key string) bool {
	return key >= s.key && (s.end == endOfKeys || key < s.end)
}

type spans map[span]struct{}

// add adds all that op may change, whatever its comparisons find.
func (s spans) add(op v3.Op, pfx string) error {
	if op.IsTxn() {
		_, thenOps, elseOps := op.Txn()
		for _, list := range [][]v3.Op{thenOps, elseOps} {
			for _, op := range list {
				if err := s.add(op, pfx); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if !op.IsPut() && !op.IsDelete() {
		return nil
	}
	is := span{string(op.KeyBytes()), string(op.RangeBytes())}
	if op.IsPut() {
		is.end = "" // a range is a mistake, which the transaction reports
	}
	if is.end == "" && strings.HasPrefix(is.key, pfx) {
		return ErrLeasingKey
	}
	s[is] = struct{}{}
	return nil
}
