package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A page has one stream of server-sent events for all its data, since a browser has six connections
// per host. Events:
//
//	overview   the state of the cluster, once a second
//	health     what is wrong with it, after each examination; see health
//	watch      a batch of changes under a prefix, with values; see batch
//	notice     the same without values, for pages that only want to know that something changed
//
// The request's goroutine writes; one goroutine per watch gathers. So a slow browser delays only
// itself: the changes that are gathered meanwhile are bounded and counted.

const (
	// maxWatches bounds the watches of one stream.
	maxWatches = 8
	// batchEvery is how often changes are sent: ten times a second looks immediate.
	batchEvery = 100 * time.Millisecond
	// noticeEvery is how often pages are notified that something changed: then they read again.
	noticeEvery = 500 * time.Millisecond
	// heartbeat keeps connections through proxies open, and detects browsers that have gone.
	heartbeat = 15 * time.Second
	// writeLimit ends a stream whose reader does not read.
	writeLimit = 20 * time.Second
)

// getStream serves a stream: overview=1 requests the overview, watch=PREFIX and notice=PREFIX, in
// base64, request changes; watch once, notice any number of times.
func (c *Console) getStream(w http.ResponseWriter, r *request) {
	if err := c.streams.take(r.session.user); err != nil {
		fail(w, err)
		return
	}
	defer c.streams.give(r.session.user)
	watches, err := readWatches(r)
	if err != nil {
		fail(w, err)
		return
	}
	out := &writer{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	out.text(": \n\n")

	var (
		overviews <-chan *overview
		healths   <-chan *health
	)
	if r.URL.Query().Get("overview") != "" {
		ch, cancel := r.session.sample.subscribe()
		defer cancel()
		overviews = ch
		looks, end := c.examiner.subscribe(r.session)
		defer end()
		healths = looks
	}
	ctx, cancel := context.WithCancel(r.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, g := range watches {
		g.user = r.session.user != ""
		running.Go(func() { g.run(ctx, r.client) })
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	flush := time.NewTicker(batchEvery)
	defer flush.Stop()
	for out.err == nil {
		select {
		case o := <-overviews:
			out.event("overview", 0, o)
		case h := <-healths:
			out.event("health", 0, h)
		case now := <-flush.C:
			for _, g := range watches {
				if b := g.take(now); b != nil {
					id := int64(0)
					if g.kind == "watch" { // there is one such watch, and it continues after this revision
						id = b.Revision
					}
					out.event(g.kind, id, b)
				}
			}
		case <-beat.C:
			out.text(": \n\n")
		case <-r.session.ctx.Done():
			out.event("end", 0, struct{}{})
			return
		case <-r.Context().Done():
			return
		}
	}
}

// readWatches returns the watches that a request asks for. A browser that reconnects sends the
// revision that it has seen.
func readWatches(r *request) ([]*gatherer, error) {
	var list []*gatherer
	seen, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64) // 0 if there is none
	for _, kind := range []string{"watch", "notice"} {
		for _, text := range r.URL.Query()[kind] {
			prefix, err := fromBase64(text)
			if err != nil {
				return nil, badRequest(kind + " is not base64")
			}
			g := &gatherer{kind: kind, prefix: string(prefix), every: batchEvery}
			if kind == "notice" {
				g.every = noticeEvery
			} else if seen > 0 {
				g.next = seen + 1
			}
			list = append(list, g)
		}
	}
	if len(list) > maxWatches || len(r.URL.Query()["watch"]) > 1 {
		return nil, badRequest("too many watches in one stream")
	}
	return list, nil
}

// writer writes events; after a failure it does nothing.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool // by Write
	err     error
}

func (o *writer) event(name string, id int64, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		o.err = err
		return
	}
	head := "event: " + name + "\n"
	if id > 0 {
		head += fmt.Sprintf("id: %d\n", id)
	}
	o.text(head + "data: " + string(text) + "\n\n")
}

func (o *writer) text(s string) {
	if o.err != nil {
		return
	}
	_ = o.control.SetWriteDeadline(time.Now().Add(writeLimit)) // some writers do not support deadlines
	if _, o.err = o.w.Write([]byte(s)); o.err == nil {
		o.err = o.control.Flush()
	}
}
