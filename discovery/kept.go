package discovery

import (
	"context"

	"github.com/fairlead-go/fairlead/discovery/internal/keep"
)

// Kept is a plain key that a Registrar keeps, see [Registrar.Keep]. Its methods are safe for
// concurrent use.
type Kept struct {
	key  string
	over bool // see WithTakeover
	kept *keep.Kept
}

// KeepOption changes how a key is kept.
type KeepOption func(*Kept)

// WithTakeover has Keep write over what another process has put, for keys that name one process
// at a time: an earlier one of them has crashed, and its lease has not ended. It counts for the
// beginning only: a process that puts the key later keeps it.
func WithTakeover() KeepOption { return func(k *Kept) { k.over = true } }

// Keep puts a key with a value, under the registrar's lease, and keeps it there until it is closed,
// as Register does with the record of an instance: it is put again after a lost lease, an outage
// or a wipe of etcd, a restored backup, or when somebody deleted it. It watches the key alone, or
// the range of all keys of the registrar if the user may read that.
//
// It returns when the key is there. A key that another process has put, with another value, is
// never written over: the error wraps [ErrTaken]. One with the same value is taken for an earlier
// run's of this process, and taken over; so is any with [WithTakeover]. What the server refuses for
// good, for want of a permission say, fails at once. When ctx ends first, nothing is kept; the
// error wraps the context's and says what etcd answered. An empty key is [ErrInvalid].
//
// Events of it have its Key and no Instance.
func (r *Registrar) Keep(ctx context.Context, key, value string, opts ...KeepOption) (*Kept, error) {
	if r.err != nil {
		return nil, r.err
	}
	if key == "" {
		return nil, invalid("the key is empty")
	}
	k := &Kept{key: key}
	for _, o := range opts {
		if o == nil {
			return nil, invalid("an option for %s is nil", key)
		}
		o(k)
	}
	var err error
	k.kept, err = r.keeper.Keep(ctx, keep.Spec{
		Key: key, Value: []byte(value), Judge: k.judge,
		Tell: func(kind keep.Kind, err error) { r.tell(kind, key, nil, err) },
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// judge: what is under our lease is ours, and so is the same value of an earlier run.
func (k *Kept) judge(f keep.Found) keep.Verdict {
	if f.Ours || f.First && (k.over || string(f.Value) == string(f.Own)) {
		return keep.Verdict{}
	}
	return keep.Verdict{Taken: &TakenError{Key: k.key}}
}

// Key is the key.
func (k *Kept) Key() string { return k.key }

// Value is what is to be there, as of the last Set that did not fail for good.
func (k *Kept) Value() string { return string(k.kept.Value()) }

// Set changes the value and returns when it is there. When ctx ends first, that goes on in the
// background. Of concurrent calls the last one counts. While another process has the key the error
// wraps [ErrTaken], and the value is put when the key is free. One that is too large to be stored
// fails at once, and the one before it stays. After Close it is [ErrClosed].
func (k *Kept) Set(ctx context.Context, value string) error {
	return k.kept.Set(ctx, func() ([]byte, error) { return []byte(value), nil })
}

// Close removes the key, if it is still this process's, and returns when it is gone. When ctx ends
// first, that goes on in the background; the lease does the rest. Again it is [ErrClosed].
func (k *Kept) Close(ctx context.Context) error { return k.kept.Close(ctx) }
