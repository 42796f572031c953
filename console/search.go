package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// searchMost is the number of hits that ends a search; a page can continue after them.
	searchMost = 200
	// searchTime ends a search too: the user waits for it, and a server reads for it.
	searchTime = 20 * time.Second
	// searchTell is how often a page gets the progress of a search.
	searchTell = 500 * time.Millisecond
	// searchLongest is the longest text to search for.
	searchLongest = 1 << 10
	// excerptBytes is how many bytes of a value are sent along, around the first hit.
	excerptBytes = 120
)

// hit is a line of the answer to a search: a found key, the progress, or the end.
type hit struct {
	Key     []byte `json:"key,omitempty"`
	Mod     int64  `json:"mod,omitempty"`
	Leased  bool   `json:"leased,omitempty"`
	Excerpt []byte `json:"excerpt,omitempty"` // of the value, around the hit
	Before  bool   `json:"before,omitempty"`  // the excerpt does not begin where the value does
	Looked  int64  `json:"looked,omitempty"`  // keys so far
	End     bool   `json:"end,omitempty"`     // the last line; without it the search was cut off
	Next    []byte `json:"next,omitempty"`    // where to continue; none if all keys were searched
	Rev     int64  `json:"revision,omitempty"`
	Error   string `json:"error,omitempty"`
}

// search is the parameters of a search.
type search struct {
	prefix, from string
	text         []byte
	fold         bool // ignores the case of letters
	values       bool // in values too
}

func readSearch(r *request) (*search, error) {
	prefix, err := r.bytes("prefix")
	if err != nil {
		return nil, err
	}
	from, err := r.bytes("from")
	if err != nil {
		return nil, err
	}
	text, err := r.bytes("text")
	if err != nil {
		return nil, err
	}
	if len(text) == 0 || len(text) > searchLongest {
		return nil, badRequest("the text to search for has 1 to " + strconv.Itoa(searchLongest) + " bytes")
	}
	q := r.URL.Query()
	s := &search{
		prefix: string(prefix),
		from:   string(from),
		text:   text,
		fold:   q.Get("exact") == "",
		values: q.Get("values") != "",
	}
	if s.fold = s.fold && utf8.Valid(text); s.fold {
		s.text = bytes.ToLower(text)
	}
	return s, nil
}

// find returns the place of the text in some bytes; -1 if it is not there. Folding may change
// lengths, so the place is in the folded bytes.
func (s *search) find(b []byte) int {
	if s.fold {
		b = bytes.ToLower(b)
	}
	return bytes.Index(b, s.text)
}

// match returns the line for a key; nil if it does not match.
func (s *search) match(kv *mvccpb.KeyValue) *hit {
	at := s.find(kv.Key[len(s.prefix):])
	in := -1
	if s.values {
		in = s.find(kv.Value)
	}
	if at < 0 && in < 0 {
		return nil
	}
	h := &hit{Key: kv.Key, Mod: kv.ModRevision, Leased: kv.Lease != 0}
	if in >= 0 {
		begin := min(max(0, in-excerptBytes/3), len(kv.Value))
		for begin > 0 && begin < len(kv.Value) && !utf8.RuneStart(kv.Value[begin]) {
			begin--
		}
		h.Excerpt, h.Before = kv.Value[begin:min(len(kv.Value), begin+excerptBytes)], begin > 0
	}
	return h
}

// leased notes which hits have a lease, if their listing may not have said so. Without an answer
// none is said to have one.
func (s *search) leased(ctx context.Context, kv clientv3.KV, hits []*hit) {
	keys := make([][]byte, len(hits))
	for i, h := range hits {
		if h.Leased {
			return
		}
		keys[i] = h.Key
	}
	has, _ := leased(ctx, kv, keys)
	for i := range has {
		hits[i].Leased = has[i]
	}
}

// getSearch searches the keys of a prefix, at one revision, and sends hits line by line. It reads
// while the page is there, and for at most searchTime.
func (c *Console) getSearch(w http.ResponseWriter, r *request) {
	s, err := readSearch(r)
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := r.limit(searchTime)
	defer cancel()
	now, err := r.client.Get(ctx, s.prefix+"\x00", clientv3.WithKeysOnly()) // the revision, and whether this user may
	if err != nil {
		fail(w, explain(r.client, err))
		return
	}
	out := &writer{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no")
	last := s.run(ctx, r.client, now.Header.Revision, out.hit)
	last.End, last.Rev = true, now.Header.Revision
	out.hit(last)
}

// hit sends a line and reports whether the page still reads.
func (o *writer) hit(h *hit) bool {
	text, _ := json.Marshal(h) // texts and numbers can always be encoded
	o.text(string(text) + "\n")
	return o.err == nil
}

// run searches and calls tell with hits and progress; it returns the last line.
func (s *search) run(ctx context.Context, client *clientv3.Client, rev int64, tell func(*hit) bool) *hit {
	limit := prefixEnd(s.prefix)
	if s.prefix == "" {
		limit = "\x00"
	}
	opts := []clientv3.OpOption{clientv3.WithRev(rev), clientv3.WithRange(limit)}
	if !s.values {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	var (
		looked int64
		hits   int
		last   = max(s.from, s.prefix, "\x00")
		spoke  = time.Now()
		wait   []*hit // to be told together
	)
	told := func() bool {
		if !s.values {
			s.leased(ctx, client, wait)
		}
		for _, h := range wait {
			if !tell(h) {
				return false
			}
		}
		wait = wait[:0]
		return true
	}
	defer told()
	end := func(why string) *hit { return &hit{Looked: looked, Next: []byte(last), Error: why} }
	for kv, err := range client.Range(ctx, last, opts...) {
		if err != nil {
			if ctx.Err() != nil {
				return end("") // the time is over: the page may continue
			}
			return end(explain(client, err).Error())
		}
		looked++
		last = string(kv.Key) + "\x00"
		if h := s.match(kv); h != nil {
			wait = append(wait, h)
			if hits++; hits == searchMost || len(wait) == askedTogether && !told() {
				return end("")
			}
		}
		if time.Since(spoke) > searchTell {
			spoke = time.Now()
			if !told() || !tell(&hit{Looked: looked}) {
				return end("")
			}
		}
	}
	return &hit{Looked: looked}
}
