package console

import (
	"context"
	"strings"

	"github.com/fairlead-go/fairlead/clientv3"
)

// A range with a limit seems the way to read the first keys after a position. But a server counts
// the rest of the range for each read, a tenth of a second for a million keys, and a tree makes a
// read for each of its children. So the scan reads narrow ranges first: the keys that share most of
// their beginning with the position, then wider ones, each of which begins where the last one
// ended. Neighbouring keys share their beginnings, so the first few ranges find them, and all
// ranges together count each key at most once.

// found is a key that a scan found.
type found struct {
	Key     []byte `json:"key"`
	Create  int64  `json:"create"`
	Mod     int64  `json:"mod"`
	Version int64  `json:"version"`
	leased  bool   // etcd 3.7 does not say so, see leased.go
}

// span is the keys from begin up to, but not including, end; an end of "\x00" is the end of the key
// space.
type span struct{ begin, end string }

const (
	// spansAtOnce is how many spans one transaction reads: most of the narrow ones are empty.
	spansAtOnce = 6
	// deepest is the length of a key from which its bytes are not split one by one.
	deepest = 64
)

// spans splits the rest of a prefix's keys after a position into ranges, narrow ones first. It goes
// from the position's last byte to its first: for each, it makes ranges of the keys with a larger
// byte there, in steps that double.
func spans(prefix, from string) []span {
	limit := prefixEnd(prefix)
	if prefix == "" {
		limit = "\x00"
	}
	switch {
	case from <= prefix:
		return []span{{max(prefix, "\x00"), limit}}
	case !strings.HasPrefix(from, prefix):
		return nil // all of them come before the position
	}
	var list []span
	at := from
	depth := min(len(from), len(prefix)+deepest)
	list = append(list, span{at, prefixEnd(from[:depth])})
	at = prefixEnd(from[:depth])
	for n := depth - 1; n >= len(prefix) && at != "\x00" && at != limit; n-- {
		// All keys up to the end of from[:n+1] are covered.
		next := int(from[n]) + 1
		for step := 1; next < 256; step *= 2 {
			upto := next + step
			end := prefixEnd(from[:n])
			if n == len(prefix) {
				end = limit
			}
			if upto < 256 {
				end = from[:n] + string([]byte{byte(upto)})
			}
			list = append(list, span{at, end})
			at = end
			next = upto
		}
	}
	return list
}

// scan reads up to n keys of a prefix after a position. It returns where to continue, "" at the end
// of the prefix, and the revision.
func scan(
	ctx context.Context,
	kv clientv3.KV,
	prefix, from string,
	n int,
) (keys []found, next string, rev int64, err error) {
	list := spans(prefix, from)
	for len(list) > 0 {
		group := list[:min(spansAtOnce, len(list))]
		list = list[len(group):]
		ops := make([]clientv3.Op, len(group))
		for i, s := range group {
			ops[i] = clientv3.OpGet(
				s.begin,
				clientv3.WithRange(s.end),
				clientv3.WithLimit(int64(n-len(keys))),
				clientv3.WithKeysOnly(),
			)
		}
		r, err := kv.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return nil, "", 0, err
		}
		rev = r.Header.Revision
		for _, part := range r.Responses {
			part := part.GetResponseRange()
			for _, kv := range part.Kvs {
				if len(keys) == n {
					return keys, after(keys), rev, nil
				}
				keys = append(
					keys,
					found{
						Key:     kv.Key,
						Create:  kv.CreateRevision,
						Mod:     kv.ModRevision,
						Version: kv.Version,
						leased:  kv.Lease != 0,
					},
				)
			}
			if part.More {
				return keys, after(keys), rev, nil
			}
		}
		if len(keys) == n && len(list) > 0 {
			return keys, after(keys), rev, nil
		}
	}
	return keys, "", rev, nil
}

// after returns the first position after the last of some keys.
func after(keys []found) string { return string(keys[len(keys)-1].Key) + "\x00" }

// child is an entry of a level of the tree: a key, or a branch of all keys that continue after the
// separator.
type child struct {
	Key    []byte `json:"key"` // of a branch, the prefix of its keys
	Branch bool   `json:"branch,omitempty"`
	Mod    int64  `json:"mod,omitempty"`
	Leased bool   `json:"leased,omitempty"`
	Create int64  `json:"create,omitempty"`
	Ver    int64  `json:"version,omitempty"`
}

// level reads up to n entries of a level of the tree.
func level(
	ctx context.Context,
	kv clientv3.KV,
	prefix, separator, from string,
	n int,
	enough func() bool,
) (list []child, next string, rev int64, err error) {
	want := n + 1
	for next = from; len(list) < n; {
		keys, pos, at, err := scan(ctx, kv, prefix, next, want)
		if err != nil {
			return nil, "", 0, err
		}
		if rev == 0 {
			rev = at
		}
		before, branch := len(list), ""
		for _, k := range keys {
			key := string(k.Key)
			if branch != "" && strings.HasPrefix(key, branch) {
				continue
			}
			if len(list) == n {
				return list, key, rev, nil
			}
			branch = ""
			if i := strings.Index(key[len(prefix):], separator); separator != "" && i >= 0 {
				branch = key[:len(prefix)+i+len(separator)]
				list = append(list, child{Key: []byte(branch), Branch: true})
			} else {
				list = append(list, child{Key: k.Key, Mod: k.Mod, Leased: k.leased, Create: k.Create, Ver: k.Version})
			}
		}
		if pos == "" {
			return list, "", rev, nil
		}
		if branch != "" { // the rest of the branch can be skipped
			if pos = prefixEnd(branch); pos == "\x00" ||
				prefix != "" && pos >= prefixEnd(prefix) && prefixEnd(prefix) != "\x00" {
				return list, "", rev, nil
			}
		}
		next = pos
		// Large reads are useful among single keys and wasted within a branch.
		if len(list)-before < len(keys)/4 {
			want = 4
		} else {
			want = min(2*want, n+1)
		}
		if enough() {
			break
		}
	}
	return list, next, rev, nil
}
