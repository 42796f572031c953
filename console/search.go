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
	// searchMost hits end a search; a page goes on after them if it is asked to.
	searchMost = 200
	// searchTime ends one too: somebody waits for it, and a server reads for it.
	searchTime = 20 * time.Second
	// searchTell is how often a page hears how far a search is.
	searchTell = 500 * time.Millisecond
	// searchLongest is how long what is searched for may be.
	searchLongest = 1 << 10
	// excerptBytes of a value are sent along, around the first hit.
	excerptBytes = 120
)

// hit is a line of the answer to a search: a key that was found, how far the search is, or its end.
type hit struct {
	Key     []byte `json:"key,omitempty"`
	Mod     int64  `json:"mod,omitempty"`
	Lease   string `json:"lease,omitempty"`
	Excerpt []byte `json:"excerpt,omitempty"` // of the value, around what was found in it
	Before  bool   `json:"before,omitempty"`  // the excerpt does not begin where the value does
	Looked  int64  `json:"looked,omitempty"`  // keys so far
	End     bool   `json:"end,omitempty"`     // the last line; without it the search broke off
	Next    []byte `json:"next,omitempty"`    // where to go on; none if all was looked at
	Rev     int64  `json:"revision,omitempty"`
	Error   string `json:"error,omitempty"`
}

// search is what to look for.
type search struct {
	prefix, from string
	text         []byte
	fold         bool // in any case of letters
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

// find is where some bytes have what is searched for; -1 if they do not. Folding may change
// lengths, so the place is one in what is folded.
func (s *search) find(b []byte) int {
	if s.fold {
		b = bytes.ToLower(b)
	}
	return bytes.Index(b, s.text)
}

// match is the line for a key; nil if it is none of those searched for.
func (s *search) match(kv *mvccpb.KeyValue) *hit {
	at := s.find(kv.Key[len(s.prefix):])
	in := -1
	if s.values {
		in = s.find(kv.Value)
	}
	if at < 0 && in < 0 {
		return nil
	}
	h := &hit{Key: kv.Key, Mod: kv.ModRevision, Lease: leaseName(kv.Lease)}
	if in >= 0 {
		begin := min(max(0, in-excerptBytes/3), len(kv.Value))
		for begin > 0 && begin < len(kv.Value) && !utf8.RuneStart(kv.Value[begin]) {
			begin--
		}
		h.Excerpt, h.Before = kv.Value[begin:min(len(kv.Value), begin+excerptBytes)], begin > 0
	}
	return h
}

// getSearch looks through the keys of a prefix, at one revision, and sends what it finds line by
// line. It reads as long as the page is there, and no longer than searchTime.
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

// hit sends a line and reports whether there is still somebody who reads.
func (o *writer) hit(h *hit) bool {
	text, _ := json.Marshal(h) // texts and numbers always can be
	o.text(string(text) + "\n")
	return o.err == nil
}

// run looks and tells; it returns the last line.
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
		told   = time.Now()
	)
	end := func(why string) *hit { return &hit{Looked: looked, Next: []byte(last), Error: why} }
	for kv, err := range client.Range(ctx, last, opts...) {
		if err != nil {
			if ctx.Err() != nil {
				return end("") // its time is up: the page may go on
			}
			return end(explain(client, err).Error())
		}
		looked++
		last = string(kv.Key) + "\x00"
		if h := s.match(kv); h != nil {
			if hits++; !tell(h) {
				return end("")
			}
			if hits == searchMost {
				return end("")
			}
		}
		if time.Since(told) > searchTell {
			told = time.Now()
			if !tell(&hit{Looked: looked}) {
				return end("")
			}
		}
	}
	return &hit{Looked: looked}
}
