package clientv3

import (
	"context"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// BulkResult is what [Client.PutAll], [Client.DeleteAll] or [Client.CopyPrefix] has done: in the
// end, or so far.
type BulkResult struct {
	Keys   int64 // written, deleted or copied
	Bytes  int64 // of those keys and, except for DeleteAll, their values
	Chunks int64 // requests that were answered
	// Last is the key up to which all have been dealt with, in the order of the range or in which
	// they were given. "" if none has.
	Last string
	// Equal is how many keys CopyPrefix did not write because the destination had that
	// value already.
	Equal int64
	// Conflicts is how many keys CopyPrefix did not write because the source or the destination
	// had changed, or because the destination exists (WithBulkOnlyAbsent).
	Conflicts int64
}

// BulkOption changes what [Client.PutAll], [Client.DeleteAll] and [Client.CopyPrefix] do. An option
// that a helper does not take is an error.
type BulkOption func(*bulkOptions)

type bulkOptions struct {
	progress   func(BulkResult)
	conflict   func(from, to string)
	inFlight   int
	after      string
	onlyAbsent bool
	given      []string // the options that not every helper takes
}

// WithBulkProgress calls f after each chunk, in order, from the goroutine that called the helper,
// which waits for it.
func WithBulkProgress(f func(BulkResult)) BulkOption { return func(o *bulkOptions) { o.progress = f } }

// WithBulkInFlight makes PutAll and CopyPrefix send at most n chunks at the same time; the default
// is 4, which leaves little time spent waiting for the network or the server's disk. 1 is the
// gentlest to others; less is an error.
func WithBulkInFlight(n int) BulkOption {
	return func(o *bulkOptions) { o.inFlight = n; o.give("WithBulkInFlight") }
}

// WithBulkAfter makes DeleteAll and CopyPrefix begin after key, usually the [BulkResult.Last] of a
// run that failed. A key without the prefix is an error; the empty one is the beginning.
func WithBulkAfter(key string) BulkOption {
	return func(o *bulkOptions) { o.after = key; o.give("WithBulkAfter") }
}

// WithBulkConflict calls f for each key that CopyPrefix did not copy because of a conflict, with
// the names of source and destination, from the goroutine that called the helper.
func WithBulkConflict(f func(from, to string)) BulkOption {
	return func(o *bulkOptions) { o.conflict = f; o.give("WithBulkConflict") }
}

// WithBulkOnlyAbsent makes CopyPrefix write only keys that do not exist.
func WithBulkOnlyAbsent() BulkOption {
	return func(o *bulkOptions) { o.onlyAbsent = true; o.give("WithBulkOnlyAbsent") }
}

func (o *bulkOptions) give(name string) { o.given = append(o.given, name) }

// check is the error of options that make no sense for a helper, which takes some of them and works
// on the keys with a prefix.
func (o *bulkOptions) check(method, prefix string, takes ...string) error {
	for _, name := range o.given {
		if !slices.Contains(takes, name) {
			return etcderr.Invalid(method, "%s is no option of it", name)
		}
	}
	if o.after != "" && !strings.HasPrefix(o.after, prefix) {
		return etcderr.Invalid(method, "WithBulkAfter(%q) does not begin with %q", o.after, prefix)
	}
	if o.inFlight < 1 {
		return etcderr.Invalid(method, "WithBulkInFlight(%d) sends nothing", o.inFlight)
	}
	return nil
}

const (
	// chunkOps and chunkBytes are below what a server allows by default: --max-txn-ops=128
	// and --max-request-bytes, 1.5 MiB. With a server that allows less, chunks become smaller.
	chunkOps   = 128
	chunkBytes = 1 << 20
	// chunksInFlight is the default of WithBulkInFlight.
	chunksInFlight = 4
	// opOverhead is what an operation costs besides its key and value.
	opOverhead = 32
)

// bulk sends operations in chunks. All of it belongs to the caller's goroutine, except that each
// chunk is executed by a goroutine of its own. Chunks are settled in the order in which they were
// made.
type bulk struct {
	kv      KV
	ctx     context.Context
	cancel  context.CancelFunc
	o       bulkOptions
	res     BulkResult
	maxOps  int
	maxSize int
	next    *chunk
	flying  []*chunk     // oldest first
	settled func(*chunk) // accounts for a chunk that was executed
}

// chunk is operations that are sent in one transaction, or in more if the server wants it so.
type chunk struct {
	ops  []Op
	keys map[string]struct{} // that are written
	size int                 // bytes, with overhead
	data int64               // bytes of keys and values
	last string
	from []*mvccpb.KeyValue // of CopyPrefix: what each operation copies

	done  chan struct{} // closed when those below are set
	resps []*pb.ResponseOp
	err   error
	small int // the largest chunk that the server took, if it wanted this one split; else 0
}

func (c *Client) newBulk(ctx context.Context, opts []BulkOption) *bulk {
	b := &bulk{kv: c.KV, maxOps: chunkOps, maxSize: chunkBytes, o: bulkOptions{inFlight: chunksInFlight}}
	b.ctx, b.cancel = context.WithCancel(ctx)
	for _, o := range opts {
		if o == nil {
			b.o.give("nil")
			continue
		}
		o(&b.o)
	}
	return b
}

// add appends an operation that writes key; data is how many bytes that writes, and size how many
// the operation has. Of two operations on a key the later one is sent once the earlier one has been
// executed.
func (b *bulk) add(op Op, key string, data, size int) error {
	size += opOverhead
	if b.next != nil {
		_, twice := b.next.keys[key]
		if twice || len(b.next.ops) >= b.maxOps || b.next.size+size > b.maxSize {
			if err := b.flush(); err != nil {
				return err
			}
		}
	}
	for b.isFlying(key) {
		if err := b.settle(); err != nil {
			return err
		}
	}
	if b.next == nil {
		b.next = &chunk{keys: make(map[string]struct{}), done: make(chan struct{})}
	}
	n := b.next
	n.ops, n.keys[key] = append(n.ops, op), struct{}{}
	n.size += size
	n.data += int64(data)
	n.last = key
	return nil
}

func (b *bulk) isFlying(key string) bool {
	for _, c := range b.flying {
		if _, is := c.keys[key]; is {
			return true
		}
	}
	return false
}

// flush sends the chunk that was being filled.
func (b *bulk) flush() error {
	if b.next == nil {
		return nil
	}
	for len(b.flying) >= b.o.inFlight {
		if err := b.settle(); err != nil {
			return err
		}
	}
	c := b.next
	b.next = nil
	b.flying = append(b.flying, c)
	go func() {
		defer close(c.done)
		c.resps, c.err = c.execute(b.ctx, b.kv, c.ops)
	}()
	return nil
}

// execute sends ops, in halves if the server finds them too many or too large.
func (c *chunk) execute(ctx context.Context, kv KV, ops []Op) ([]*pb.ResponseOp, error) {
	r, err := kv.Do(ctx, OpTxn(nil, ops, nil))
	if err == nil {
		return r.Txn().Responses, nil
	}
	if len(ops) == 1 || !tooMuch(err) {
		return nil, err
	}
	half := len(ops) / 2
	first, err := c.execute(ctx, kv, ops[:half])
	if err != nil {
		return nil, err
	}
	c.small = half
	second, err := c.execute(ctx, kv, ops[half:])
	return append(first, second...), err
}

// tooMuch: the request was refused for its size, by etcd or by gRPC on either side. gRPC says the
// same of an answer that is too large, but those to puts are small, and a copy may be repeated.
func tooMuch(err error) bool {
	return err == rpctypes.ErrTooManyOps || err == rpctypes.ErrRequestTooLarge || tooLargeToReceive(err)
}

// settle waits for the oldest chunk under way.
func (b *bulk) settle() error {
	c := b.flying[0]
	<-c.done
	if c.err != nil {
		return c.err
	}
	b.flying = b.flying[1:]
	if c.small > 0 {
		// Whichever limit it was, chunks like the halves fit.
		b.maxOps = min(b.maxOps, c.small)
	}
	b.res.Chunks++
	b.res.Last = c.last
	b.settled(c)
	if b.o.progress != nil {
		b.o.progress(b.res)
	}
	return nil
}

// end sends what is left and waits for all that is under way, also after a failure: cancelled
// chunks would have an unknown outcome. No goroutine is left behind.
func (b *bulk) end(err error) (BulkResult, error) {
	if err == nil {
		err = b.flush()
	}
	for err == nil && len(b.flying) > 0 {
		err = b.settle()
	}
	for _, c := range b.flying {
		<-c.done
	}
	return b.res, err
}
