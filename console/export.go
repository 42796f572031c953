package console

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/internal/transfer"
)

const (
	// exportTime bounds an export: a million keys take less than a minute.
	exportTime = 10 * time.Minute
	// savesMost is how many exports a session remembers.
	savesMost = 16
)

// saved is a complete export: a number of keys of a prefix, as of a revision.
type saved struct {
	prefix   string
	revision int64
	count    int64
}

// saves are a session's complete exports, so that many keys can be deleted only after they were
// exported.
type saves struct {
	mu  sync.Mutex // guards what follows
	all []saved    // the latest at the end
}

func (s *saves) add(one saved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, one)
	if len(s.all) > savesMost {
		s.all = append([]saved(nil), s.all[1:]...)
	}
}

func (s *saves) has(one saved) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.all {
		if o == one {
			return true
		}
	}
	return false
}

// postExport sends the keys of a prefix in the format of `fairlead export`. If the export fails,
// the connection breaks, and the last line is missing.
func (c *Console) postExport(w http.ResponseWriter, r *request) {
	var in struct {
		Prefix   []byte
		Revision int64 // 0 for the latest
	}
	err := decode(r.Request, &in)
	if err == nil && in.Revision < 0 {
		err = badRequest("a revision is not below 0")
	}
	if err == nil {
		err = r.begin("export", "all keys that begin with "+auditOf(in.Prefix))
	}
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := r.limit(exportTime)
	defer cancel()
	out := &writer{w: w, control: http.NewResponseController(w)}
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("X-Accel-Buffering", "no")
	n, err := transfer.Export(ctx, r.client, string(in.Prefix), in.Revision, out, nil)
	r.change.After = fmt.Sprintf("%d keys sent", n)
	r.end(err)
	switch {
	case err != nil && !out.begun:
		fail(w, explain(r.client, err))
	case err != nil:
		_ = out.control.SetWriteDeadline(time.Now().Add(-time.Second)) // so that the end of the answer cannot be sent
	default:
		r.session.saves.add(saved{string(in.Prefix), in.Revision, n})
	}
}

// Write sends a part of an answer.
func (o *writer) Write(b []byte) (int, error) {
	o.begun = true
	if o.text(string(b)); o.err != nil {
		return 0, o.err
	}
	return len(b), nil
}
