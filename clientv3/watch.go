package clientv3

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/retry"
	"github.com/fairlead-go/fairlead/internal/watch"
)

const (
	EventTypeDelete = mvccpb.Event_DELETE
	EventTypePut    = mvccpb.Event_PUT

	// AutoWatchID and InvalidWatchID are the watch ids of the wire protocol that
	// stand for "choose one" and "none". Users of this package never see ids.
	AutoWatchID    = 0
	InvalidWatchID = -1
)

// Event is one change of a key.
type Event = mvccpb.Event

// WatchChan delivers the responses of one watch.
type WatchChan <-chan WatchResponse

// Watcher watches keys for changes. All methods are safe for concurrent use.
type Watcher interface {
	// Watch delivers the changes of a key, or with WithPrefix, WithRange or
	// WithFromKey of a range of keys, in the order of their revisions, each exactly
	// once, also across failures of members. It begins with the events after now,
	// or with WithRev those of a revision. Watch returns when the server has
	// confirmed the watch: what is written afterwards is delivered. ("Now" is that of
	// the member that serves the watch; if it lags behind, a few earlier changes come
	// first. WithRev is exact.)
	//
	// The channel is closed when ctx ends, without a further response, and when the
	// watch fails for good: then the last response is Canceled and its Err says why.
	// That is the case when the revisions to deliver were compacted
	// (rpctypes.ErrCompacted), when permission is denied, when the cluster lost its
	// history (ErrHistoryLost). Closing the client or the watcher closes the channel
	// without another response; a Watch after that gets ErrClosed. All other
	// failures are overcome, on another member if need be. A watch whose ctx is from
	// WithRequireLeader also ends, with rpctypes.ErrNoLeader, when no reachable member has a
	// leader. Without it, a watch that begins while there is no leader gets what a member has, and
	// goes on when a leader is back.
	//
	// ctx must be cancelled when the watch is not needed any more. A slow consumer
	// delays no other watch; what waits for consumers is bounded (see
	// Config.WatchBufferLimit) and nothing is lost. Of ctx's outgoing metadata only
	// WithRequireLeader and a token of the user's own take effect; metadata for all streams belongs
	// in Config.Context.
	Watch(ctx context.Context, key string, opts ...OpOption) WatchChan

	// RequestProgress asks the server to say which revision it has reached; the
	// answer, a response without events, goes to all watches that share ctx's
	// metadata.
	RequestProgress(ctx context.Context) error

	// Close ends all watches and waits until their goroutines have ended.
	Close() error
}

// WatchResponse is what a watch delivers.
type WatchResponse struct {
	Header *pb.ResponseHeader
	Events []*Event

	// CompactRevision is set on the last response of a watch whose revisions were
	// compacted: the oldest revision that can still be read.
	CompactRevision int64

	// Canceled: the watch has ended, this is its last response; Err says why.
	Canceled bool

	// Created: the server's confirmation, see WithCreatedNotify.
	Created bool

	// CancelReason is the server's text, if it gave one.
	CancelReason string

	// Synthesized: the events are made from a listing, because history was lost: a put for every
	// key, or for every key that differs, and a delete for every key that is gone. Only from a
	// Watcher of NewResumingWatcher, and from a cache.
	Synthesized bool

	closeErr error
}

// Err is why the watch ended, nil if it has not.
func (wr *WatchResponse) Err() error {
	switch {
	case wr.closeErr != nil:
		return wr.closeErr
	case wr.CompactRevision != 0:
		return rpctypes.ErrCompacted
	case wr.Canceled && wr.CancelReason != "":
		return etcderr.FromReason(wr.CancelReason)
	case wr.Canceled:
		return rpctypes.ErrFutureRev
	}
	return nil
}

// IsProgressNotify reports that the response only says which revision has been
// reached.
func (wr *WatchResponse) IsProgressNotify() bool {
	return len(wr.Events) == 0 && !wr.Canceled && !wr.Created && wr.CompactRevision == 0 && wr.Header.GetRevision() != 0
}

type watcher struct {
	c       *Client // may be nil
	remote  pb.WatchClient
	callOpt []grpc.CallOption
	engine  *watch.Engine
}

// NewWatcher returns a Watcher over the client's connection. It must be closed.
func NewWatcher(c *Client) Watcher { return newWatcher(pb.NewWatchClient(c.conns()), c, nil) }

// NewWatchFromWatchClient returns a Watcher over any protobuf client; c gives the
// call options and may be nil. It must be closed.
func NewWatchFromWatchClient(wc pb.WatchClient, c *Client) Watcher {
	return newWatcher(wc, c, c.callOptions())
}

func newWatcher(remote pb.WatchClient, c *Client, opts []grpc.CallOption) *watcher {
	w := &watcher{c: c, remote: remote, callOpt: opts}
	cfg := watch.Config{
		Open:      w.open,
		Judge:     w.judge,
		Cancelled: w.cancelled,
		Log:       c.logger(),
	}
	if c.connected() {
		cfg.Members = c.link.set.Len
		cfg.Confirm = w.confirm
		cfg.BufferLimit = c.cfg.WatchBufferLimit
	}
	w.engine = watch.New(cfg)
	return w
}

func (w *watcher) Watch(ctx context.Context, key string, opts ...OpOption) WatchChan {
	op := OpWatch(key, opts...)
	// One response may wait in the channel, so that a consumer that keeps up costs
	// no goroutine.
	s := &watchSink{ch: make(chan WatchResponse, 1)}
	if w.c != nil && w.c.cfg.Hooks.Watch != nil {
		s.hook = &watchHook{c: w.c, info: WatchInfo{Key: string(op.key), RangeEnd: string(op.end)}}
	}
	switch {
	case ctx == nil:
		s.fail(errNilContext("Watch.Watch"))
		return s.ch
	case op.err != nil:
		s.fail(op.err)
		return s.ch
	}
	group, requireLeader := watchGroup(ctx)
	err := w.engine.Watch(ctx, watch.Request{
		Create:        op.toWatchRequest(),
		Group:         group,
		RequireLeader: requireLeader,
		CreatedNotify: op.createdNotify,
		Listing:       op.listing.request(),
	}, s)
	switch {
	case err == nil:
		s.hook.begun()
	case errors.Is(err, watch.ErrClosed) && ctx.Err() == nil:
		// The engine has ended the sink, or is about to: what says why needs its own.
		late := &watchSink{ch: make(chan WatchResponse, 1)}
		late.fail(etcderr.Closed("Watch.Watch"))
		return late.ch
	}
	return s.ch
}

func (op *Op) toWatchRequest() *pb.WatchCreateRequest {
	r := &pb.WatchCreateRequest{
		Key: op.key, RangeEnd: op.end, StartRevision: op.rev,
		ProgressNotify: op.progressNotify, PrevKv: op.prevKV, Fragment: op.fragment,
	}
	if op.filterPut {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if op.filterDelete {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NODELETE)
	}
	return r
}

func (w *watcher) RequestProgress(ctx context.Context) error {
	if ctx == nil {
		return errNilContext("Watch.RequestProgress")
	}
	if w.c.over() && ctx.Err() == nil {
		return etcderr.Closed("Watch.RequestProgress")
	}
	group, _ := watchGroup(ctx)
	err := w.engine.RequestProgress(ctx, group)
	if errors.Is(err, watch.ErrClosed) {
		return etcderr.Closed("Watch.RequestProgress")
	}
	return err
}

func (w *watcher) Close() error {
	w.engine.Close()
	return nil
}

// groupKeys are the metadata that change what the server does with a watch; only
// they decide which watches share a stream. A trace id, which differs from call to
// call, would cost a stream for each watch.
var groupKeys = []string{rpctypes.TokenFieldNameGRPC, rpctypes.TokenFieldNameSwagger}

// watchGroup splits what a context asks for.
func watchGroup(ctx context.Context) (group string, requireLeader bool) {
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		return "", false
	}
	for _, v := range md.Get(rpctypes.MetadataRequireLeaderKey) {
		requireLeader = requireLeader || v == rpctypes.MetadataHasLeader
	}
	var parts []string
	for _, k := range groupKeys {
		for _, v := range md.Get(k) {
			parts = append(parts, k, v)
		}
	}
	return strings.Join(parts, "\x00"), requireLeader
}

// withGroup returns a context whose calls carry what makes the group.
func withGroup(ctx context.Context, group string) context.Context {
	if group == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, strings.Split(group, "\x00")...)
}

func (w *watcher) open(ctx context.Context, o watch.OpenOptions) (watch.Stream, error) {
	ctx = withGroup(w.c.withValues(ctx), o.Group)
	if o.RequireLeader {
		ctx = WithRequireLeader(ctx)
	}
	ctx = retry.WithStreamOptions(ctx, retry.StreamOptions{Avoid: o.Avoid, Engine: true})
	s, err := w.remote.Watch(ctx, w.callOpt...)
	if err != nil && w.c.over() {
		err = etcderr.Closed("Watch.Watch")
	}
	ws := &watchStream{BidiStreamingClient: s, on: retry.StreamOf(s), c: w.c}
	w.c.streamOpened("Watch", ws.on.Member(), ctx, err)
	if err != nil {
		return nil, err
	}
	return ws, nil
}

// watchStream is one Watch RPC as the engine sees it.
type watchStream struct {
	_ [0]func() // not comparable, see balancer.conn
	grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse]
	on  *retry.Stream // nil over a client that is not ours
	c   *Client       // may be nil
	old bool          // a watch was asked for
}

func (s *watchStream) Member() string { return s.on.Member() }

// Connected is when the connection of the stream was made, zero if unknown.
func (s *watchStream) Connected() time.Time { return s.on.Connected() }

// errOldToken ends a stream on which the first watch would be refused.
var errOldToken = errors.New("watch: the token of the stream was replaced")

// Send asks for no first watch where that must fail: what proved the history, before it, may have
// needed another token. To learn it from the server would take a round trip more, in which on a
// long way the new token expires as well.
func (s *watchStream) Send(r *pb.WatchRequest) error {
	if !s.old && s.on.Outdated() {
		return errOldToken
	}
	s.old = true
	return s.BidiStreamingClient.Send(r)
}

func (s *watchStream) Recv() (*pb.WatchResponse, error) {
	r, err := s.BidiStreamingClient.Recv()
	if err == io.EOF {
		err = streamEnded("Watch.Watch")
	}
	if s.c.over() && (err != nil || r.Canceled) {
		// Whatever words the other end has for it, for example a proxy in this process.
		err = etcderr.Closed("Watch.Watch")
	}
	switch {
	case err != nil:
		s.c.streamEnded("Watch", s.Member(), err)
		return nil, err
	case r.Canceled && r.CancelReason != "":
		s.on.Refused(etcderr.FromReason(r.CancelReason))
	}
	return r, nil
}

// streamEnded is the error for a stream that the server ended without giving one.
func streamEnded(method string) error {
	return &etcderr.Error{Method: method, Status: codes.Unavailable, Reason: "the server ended the stream"}
}

// loginFor bounds how long a stream waits for the login that a watch on it needs.
const loginFor = 2 * time.Second

// cancelled says what the server's reason for cancelling one watch means. One that has
// no value of its own is about what was asked for: another stream would get it too.
func (w *watcher) cancelled(reason string) (watch.Verdict, error) {
	err := etcderr.FromReason(reason)
	if etcderr.Known(err) == nil && etcderr.Code(err) != codes.Unavailable {
		return watch.Fatal, err
	}
	v := w.judge(err)
	if v == watch.Blameless && wantsToken(err) {
		// Without another token only this watch ends: the server goes on with those that
		// began on the stream before.
		ctx, cancel := context.WithTimeout(w.c.Ctx(), loginFor)
		defer cancel()
		if refused := w.c.keeper.Try(ctx); refused != nil && w.judge(refused) == watch.Fatal {
			return watch.Fatal, refused
		}
	}
	return v, err
}

// wantsToken reports that the server refused a token, or wants one.
func wantsToken(err error) bool {
	return etcderr.ClassOf(err) == etcderr.Token || err == rpctypes.ErrUserEmpty
}

// judge says what the error of a stream means for its watches.
func (w *watcher) judge(err error) watch.Verdict {
	switch class := etcderr.ClassOf(err); {
	case err == errOldToken:
		return watch.Blameless
	case class == etcderr.NoLeader:
		return watch.NoLeader
	case class == etcderr.Final && etcderr.Known(err) == nil && !etcderr.IsStatus(err):
		return watch.Fatal // an interceptor's
	}
	switch retry := w.c.streamRetryable(err); {
	case retry && wantsToken(err):
		return watch.Blameless // any member would have refused it
	case retry:
		return watch.Retry
	}
	if tooLargeToReceive(err) && !SafeToRetry(err) { // the server's answer, not the request
		return watch.TooLarge
	}
	return watch.Fatal
}

// streamRetryable reports that another stream may work where one failed with err.
func (c *Client) streamRetryable(err error) bool {
	if wantsToken(err) {
		// Useless unless somebody gets another token.
		return c != nil && c.keeper != nil && c.keeper.Renews()
	}
	switch etcderr.ClassOf(err) {
	case etcderr.Final:
		// A proxy that loses its server resets streams with an internal error, and what
		// etcd has no code for comes as an unknown one: neither says that it would be so
		// again.
		code := etcderr.Code(err)
		return (code == codes.Internal || code == codes.Unknown) && etcderr.Known(err) == nil
	case etcderr.Ended:
		return true // the server's word; the engine knows its own contexts
	}
	return true
}

// watchSink carries deliveries into the user's channel.
type watchSink struct {
	ch   chan WatchResponse
	hook *watchHook // nil if nobody listens
}

// watchHook calls the hook for one watch; its methods may be called on nil.
type watchHook struct {
	_    [0]func() // not comparable, see balancer.conn
	c    *Client
	info WatchInfo

	mu    sync.Mutex
	ended bool // guarded by mu; the end was reported, the beginning must not follow
}

func (t *watchHook) begun() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.info.Began = true
		t.c.observeWatch(t.info)
	}
}

func (t *watchHook) failed(err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.info.Err = err
}

func (t *watchHook) end() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	info := t.info
	info.Ended, t.ended = true, true
	t.c.observeWatch(info)
}

func toResponse(d watch.Delivery) WatchResponse {
	r := WatchResponse{
		Header: d.Resp.Header, Events: d.Resp.Events, CompactRevision: d.Resp.CompactRevision,
		Canceled: d.Resp.Canceled, Created: d.Resp.Created, CancelReason: d.Resp.CancelReason,
	}
	if r.Header == nil {
		r.Header = &pb.ResponseHeader{} // never nil: programs look at it before they look at Err
	}
	if d.Err != nil && r.CompactRevision == 0 {
		r.closeErr = d.Err
		var lost *watch.HistoryLostError
		if errors.As(d.Err, &lost) {
			r.closeErr = &etcderr.Error{Method: "Watch.Watch", Status: codes.DataLoss, Cause: d.Err}
		}
	}
	return r
}

func (s *watchSink) TryDeliver(d watch.Delivery) bool {
	select {
	case s.ch <- s.response(d):
		return true
	default:
		return false
	}
}

func (s *watchSink) Deliver(d watch.Delivery, stop <-chan struct{}) bool {
	select {
	case s.ch <- s.response(d):
		return true
	case <-stop:
		return false
	}
}

// response is toResponse for this watch; what ends it is kept for the hook.
func (s *watchSink) response(d watch.Delivery) WatchResponse {
	r := toResponse(d)
	if r.Canceled {
		s.hook.failed(r.Err())
	}
	return r
}

func (s *watchSink) End() {
	close(s.ch)
	s.hook.end()
}

// fail makes the channel that of a watch that never began.
func (s *watchSink) fail(err error) {
	s.ch <- WatchResponse{Header: &pb.ResponseHeader{}, Canceled: true, CancelReason: err.Error(), closeErr: err}
	close(s.ch)
}
