package discovery

import (
	"context"

	"github.com/fairlead-go/fairlead/discovery/internal/keep"
)

// Kept is a plain key that a [Registrar] keeps, see [Registrar.Keep]. Its methods are safe for
// concurrent use.
type Kept struct {
	key  string
	over bool // see WithTakeover
	kept *keep.Kept
}

// KeepOption changes how [Registrar.Keep] keeps a key.
type KeepOption func(*Kept)

// WithTakeover makes Keep overwrite the value of another process, for keys that name one process at
// a time: an earlier one has crashed, and its lease has not ended yet. It applies only at the
// beginning: a process that puts the key later keeps it.
func WithTakeover() KeepOption { return func(k *Kept) { k.over = true } }

// Keep puts a key with a value, under the registrar's lease, and keeps it there until [Kept.Close],
// as [Registrar.Register] does with the record of an instance: the registrar puts it again after a
// lost lease, an outage or a wipe of etcd, a restored backup, or a deletion by another client. It
// watches the key alone, or the range of all keys of the registrar if the user may read that.
//
// Keep returns when the key is there. It never overwrites a key that another process has put with
// another value: the error wraps [ErrTaken]. A key with the same value counts as an earlier run of
// this process, and is taken over; so is any key with [WithTakeover]. If the server refuses the key
// for good, for want of a permission say, Keep fails at once. When ctx ends first, nothing is kept;
// the error wraps the context's and says what etcd answered. An empty key is [ErrInvalid].
//
// Its events ([WithEvents]) have a Key and no Instance.
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
		Notify: func(kind keep.Kind, err error) { r.notify(kind, key, nil, err) },
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// judge: a key under our lease is ours, and so is the same value from an earlier run.
func (k *Kept) judge(f keep.Found) keep.Verdict {
	if f.Ours || f.First && (k.over || string(f.Value) == string(f.Own)) {
		return keep.Verdict{}
	}
	return keep.Verdict{Taken: &TakenError{Key: k.key}}
}

// Key is the key.
func (k *Kept) Key() string { return k.key }

// Value returns the value to be kept: that of the last [Kept.Set] that did not fail for good.
func (k *Kept) Value() string { return string(k.kept.Value()) }

// Set changes the value and returns when etcd has it. When ctx ends first, the change goes on in
// the background. Of concurrent calls the last one counts. While another process has the key, Set
// fails with an error that wraps [ErrTaken], and the value is put when the key is free. A value
// that is too large fails at once, and the previous one stays. After [Kept.Close] it fails with
// [ErrClosed].
func (k *Kept) Set(ctx context.Context, value string) error {
	return k.kept.Set(ctx, func() ([]byte, error) { return []byte(value), nil })
}

// Close removes the key, if it is still this process's, and returns when it is gone. When ctx ends
// first, the removal goes on in the background; at the latest the key goes with its lease. A second
// Close returns [ErrClosed].
func (k *Kept) Close(ctx context.Context) error { return k.kept.Close(ctx) }
