package mirror

// The proof that the source still has the history that the target shows. A backup that was restored
// while no mirror ran keeps the cluster's id, and may have come to higher revisions than the
// checkpoint's since. So the checkpoint names the newest put that it knows of, the witness, and the
// mirror goes on right after that: the history up to there is the same if the witness is, and what
// followed it is applied, whichever history it is of. In the old one that is nothing but deletions
// that are made again, or after a comparison what became of keys that were gone by then.
//
// The checkpoint's own revision would not do. Other keys' changes move it far beyond the witness,
// and what a restored source has done to these keys in between would be missed.

import (
	"context"
	"encoding/base64"
	"errors"
	"hash/crc32"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// maxWitness bounds the key of a witness, since each transaction carries it. After a put of a key
// with a longer name there is no witness.
const maxWitness = 512

// witness is a key of the source as it was put; the zero value is none.
type witness struct {
	Key     string `json:"key"` // in base64, since it may be anything
	Create  int64  `json:"create"`
	Mod     int64  `json:"mod"`
	Version int64  `json:"version"`
	Lease   int64  `json:"lease,omitempty"`
	Sum     uint32 `json:"sum"` // of the value
}

var table = crc32.MakeTable(crc32.Castagnoli)

// witnessOf makes kv the witness; nil stands for none.
func witnessOf(kv *mvccpb.KeyValue) witness {
	if kv == nil || len(kv.Key) > maxWitness {
		return witness{}
	}
	return witness{
		Key:     base64.StdEncoding.EncodeToString(kv.Key),
		Create:  kv.CreateRevision,
		Mod:     kv.ModRevision,
		Version: kv.Version,
		Lease:   kv.Lease,
		Sum:     crc32.Checksum(kv.Value, table),
	}
}

// proved asks the source for the witness, and prepares to follow from it. It reports false if the
// source has another history, or cannot say.
func (m *mirror) proved(ctx context.Context, w witness) (bool, error) {
	key, err := base64.StdEncoding.DecodeString(w.Key)
	if err != nil || w.Mod <= 0 || len(key) == 0 {
		return false, nil // there is none
	}
	listed := clientv3.NewListing(w.Mod)
	r, err := m.source.Get(ctx, string(key), clientv3.WithRev(w.Mod))
	switch {
	case errors.Is(err, rpctypes.ErrCompacted), errors.Is(err, rpctypes.ErrFutureRev):
		return false, nil
	case err != nil:
		return false, err
	case len(r.Kvs) != 1 || witnessOf(r.Kvs[0]) != w:
		return false, nil
	}
	listed.Add(r)
	m.listed = listed
	return true, nil
}
