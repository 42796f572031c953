package console

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/scrape"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// callTimeout bounds the calls to etcd for one request. It is long enough for an election, and
// short enough that a page shows an error while the user is still looking.
const callTimeout = 5 * time.Second

// ErrNoWayIn: New has none of [WithToken], [WithLogin] and [WithOpenAccess].
var ErrNoWayIn = errors.New("console: it is not set who may use it: give WithToken, WithLogin or WithOpenAccess")

// Console is the web console of one cluster, an http.Handler. It is made by New and safe for
// concurrent use.
type Console struct {
	client   *clientv3.Client
	readOnly bool
	open     bool
	token    string
	login    LoginFunc
	hosts    map[string]bool
	base     string      // the beginning of all URLs, "/" or "/.../"
	history  string      // the file of the overview's past, "" without one
	metrics  bool        // they may be read
	secure   *tls.Config // for reading them

	pages    *scrape.Reader // nil without metrics
	common   sampler        // for all sessions that use the console's own client
	examiner examiner
	known    struct { // the members, as last listed for any user
		sync.Mutex
		names, urls map[string]string
	}
	cookie   string // the session cookie's name; one per console, since cookies do not distinguish ports
	sessions sessions
	attempts limiter // failed attempts to sign in
	streams  shares
	calls    shares
	audit    audit
	tickets  tickets
	turns    turns
	// operating is held by the operation that is running: there is only one at a time.
	operating     sync.Mutex
	defragmenting defragmenting
	name          string  // of the cluster
	mistakes      []error // what is wrong with the options
	group         *worker.Group
	mux           *http.ServeMux
}

// New makes a console that uses a client, which the caller still owns. It fails with [ErrNoWayIn]
// if no option says who may use the console, and without a client or with options that make no
// sense.
func New(client *clientv3.Client, opts ...Option) (*Console, error) {
	c := &Console{
		client:  client,
		hosts:   map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true},
		base:    "/",
		streams: shares{what: "pages open", each: userStreams, most: maxStreams},
		calls:   shares{what: "requests under way", each: userCalls, most: maxCalls},
		group:   worker.New(context.Background()),
	}
	for i, o := range opts {
		if o == nil {
			c.mistaken("New", "option %d is nil", i+1)
			continue
		}
		o(c)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	past := newMemory()
	if c.history != "" {
		if err := past.load(c.history); err != nil {
			return nil, err
		}
	}
	name := make([]byte, 4)
	_, _ = rand.Read(name) // never fails
	c.cookie = "fairlead-" + hex.EncodeToString(name)
	if c.metrics {
		c.pages = scrape.New(c.secure)
	}
	c.common.init(c, client, c.group.Context())
	c.sessions.init(c)
	c.examiner.init(c, past)
	c.mux = c.routes()
	return c, nil
}

// Close ends the streams and sessions. Later requests are refused. The client given to New stays
// open.
func (c *Console) Close() error {
	c.group.Cancel()
	c.sessions.close()
	c.group.Stop()
	if c.pages != nil {
		c.pages.Close()
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secureHeaders(w.Header())
	if c.group.Context().Err() != nil {
		fail(w, &apiError{Status: http.StatusServiceUnavailable, Code: "closed", Message: "the console is closed"})
		return
	}
	if !c.allowedHost(r.Host) {
		fail(
			w,
			&apiError{
				Status:  http.StatusMisdirectedRequest,
				Code:    "host",
				Message: printable(r.Host) + " is not a name of this console",
			},
		)
		return
	}
	if err := limitBody(w, r); err != nil {
		fail(w, err)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, c.base)
	if !ok {
		if r.URL.Path+"/" == c.base {
			http.Redirect(w, r, c.base, http.StatusMovedPermanently)
			return
		}
		fail(w, errNotFound)
		return
	}
	r2 := *r
	u := *r.URL
	u.Path, u.RawPath = "/"+path, ""
	r2.URL = &u
	c.mux.ServeHTTP(w, &r2)
}

// routes returns the handler of all paths.
func (c *Console) routes() *http.ServeMux {
	m := http.NewServeMux()
	m.Handle("GET /{$}", c.page())
	m.Handle("/", staticFiles())
	m.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) { fail(w, errNotFound) })

	m.Handle("GET /api/session", c.public(c.getSession))
	m.Handle("POST /api/session", c.public(c.postSession))
	m.Handle("DELETE /api/session", c.public(c.deleteSession))

	m.Handle("GET /api/overview", c.reads(getOverview))
	m.Handle("GET /api/memory", c.reads(getMemory))
	m.Handle("GET /api/prefixes", c.reads(getPrefixes))
	m.Handle("GET /api/tree", c.reads(getTree))
	m.Handle("GET /api/count", c.reads(getCount))
	m.Handle("GET /api/key", c.reads(getKey))
	m.Handle("GET /api/history", c.reads(getHistory))
	m.Handle("GET /api/services", c.reads(getServices))
	m.Handle("GET /api/leases", c.reads(getLeases))
	m.Handle("GET /api/locks", c.reads(getLocks))
	m.Handle("GET /api/access", c.reads(getAccess))
	m.Handle("GET /api/audit", c.reads(getAudit))
	m.Handle("GET /api/search", c.within(maxBody, c.getSearch))
	m.Handle("GET /api/stream", c.streaming(c.getStream))
	m.Handle("POST /api/delete/preview", c.asks(postPreview))

	m.Handle("POST /api/operations/plan", c.writes(postPlan))
	m.Handle("POST /api/operations/run", c.operates(c.postOperation))
	m.Handle("POST /api/snapshot", c.writes(postSnapshot))
	m.HandleFunc("GET /api/snapshot", c.getSnapshot)

	m.Handle("PUT /api/key", c.writes(putKey))
	m.Handle("POST /api/delete", c.writes(postDelete))
	m.Handle("POST /api/export", c.within(maxBody, c.postExport))
	m.Handle("POST /api/import", c.writesUpTo(maxImport, postImport))
	m.Handle("POST /api/format", c.asks(postFormat))
	m.Handle("POST /api/access/plan", c.writes(postAccessPlan))
	m.Handle("POST /api/access", c.writes(postAccess))
	m.Handle("POST /api/services/prospect", c.asks(postProspect))
	m.Handle("POST /api/services/control", c.writes(postControl))
	m.Handle("POST /api/leases/grant", c.writes(postGrant))
	m.Handle("POST /api/leases/keepalive", c.writes(postKeepAlive))
	m.Handle("POST /api/leases/revoke", c.writes(postRevoke))
	m.Handle("POST /api/locks/release", c.writes(postRelease))
	m.Handle("POST /api/services/remove", c.writes(postRemove))
	return m
}
