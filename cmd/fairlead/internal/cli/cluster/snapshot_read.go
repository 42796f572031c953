package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// A snapshot is a bbolt database, followed by its SHA-256 if it came through the API. The bucket
// "key" holds every change that is not compacted, under its revision: 8 bytes for the main part,
// "_", 8 bytes for the sub-revision, and a "t" if the key was deleted.
const (
	digestLength    = sha256.Size
	databaseAlign   = 512 // sizes of databases are multiples of this, so what is left over is a digest
	revisionLength  = 8 + 1 + 8
	tombstoneLength = revisionLength + 1
)

// readSnapshot describes a snapshot without changing it. It calls progress with the number of bytes
// read.
func readSnapshot(
	ctx context.Context,
	path string,
	lockTimeout time.Duration,
	progress func(done, goal int64),
) (snapshotStatus, error) {
	var none snapshotStatus
	db, err := openDatabase(path, lockTimeout)
	if err != nil {
		return none, err
	}
	defer db.Close()
	r := snapshotReader{
		ctx:      ctx,
		live:     map[string]struct{}{},
		sum:      crc32.New(crc32.MakeTable(crc32.Castagnoli)),
		progress: progress,
	}
	if err := db.View(r.read); err != nil {
		return none, fmt.Errorf("read %s: %w", path, err)
	}
	r.status.TotalKey = len(r.live)
	r.status.Hash = r.sum.Sum32()
	return r.status, nil
}

// openDatabase opens a file that must be a snapshot, or a database, for reading.
func openDatabase(path string, lockTimeout time.Duration) (*bolt.DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory", path)
	}
	if err := checkDigest(path, info.Size()); err != nil {
		return nil, err
	}
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		return nil, fmt.Errorf("%s is no snapshot, or in use: %w", path, err)
	}
	// The file is mapped into memory, where access to a missing page would end the process.
	if err := db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%s is cut off: it has %d bytes of %d", path, info.Size(), tx.Size())
		}
		return nil
	}); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// checkDatabase checks a file before it goes to a library that panics if the file is damaged.
func checkDatabase(path string, lockTimeout time.Duration) error {
	db, err := openDatabase(path, lockTimeout)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		if tx.Bucket([]byte("key")) == nil {
			return fmt.Errorf("%s is %w", path, errNoKeys)
		}
		return nil
	})
}

var errNoKeys = errors.New("no etcd database: it has no bucket of keys")

// checkDigest verifies the digest at the file's end if there is one.
func checkDigest(path string, size int64) error {
	if size%databaseAlign != digestLength {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(h, f, size-digestLength); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	digest, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if !bytes.Equal(h.Sum(nil), digest) {
		return fmt.Errorf("%s is damaged: it does not match the digest at its end", path)
	}
	return nil
}

// snapshotReader reads all buckets once.
type snapshotReader struct {
	ctx      context.Context
	status   snapshotStatus
	live     map[string]struct{} // keys that exist
	sum      hash.Hash32
	seen     int64
	progress func(done, goal int64)
}

func (r *snapshotReader) read(tx *bolt.Tx) error {
	r.status.TotalSize = tx.Size()
	keys := tx.Bucket([]byte("key"))
	if keys == nil {
		return errNoKeys
	}
	if meta := tx.Bucket([]byte("meta")); meta != nil {
		r.status.Version = string(meta.Get([]byte("storageVersion")))
	}
	return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		r.sum.Write(name)
		isKeys := bytes.Equal(name, []byte("key"))
		return b.ForEach(func(k, v []byte) error {
			r.sum.Write(k)
			r.sum.Write(v)
			r.seen += int64(len(k) + len(v))
			r.progress(r.seen, r.status.TotalSize)
			if err := r.ctx.Err(); err != nil {
				return context.Cause(r.ctx)
			}
			if !isKeys {
				return nil
			}
			return r.change(k, v)
		})
	})
}

// change counts a change of a key; changes come in the order of their revisions.
func (r *snapshotReader) change(k, v []byte) error {
	if len(k) != revisionLength && len(k) != tombstoneLength {
		return fmt.Errorf("%q is no revision", k)
	}
	r.status.Revision = int64(binary.BigEndian.Uint64(k))
	var kv mvccpb.KeyValue
	if err := proto.Unmarshal(v, &kv); err != nil {
		return fmt.Errorf("revision %d: %w", r.status.Revision, err)
	}
	if len(k) == tombstoneLength {
		delete(r.live, string(kv.Key))
		return nil
	}
	r.live[string(kv.Key)] = struct{}{}
	return nil
}
