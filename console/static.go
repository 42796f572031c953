package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed web
var web embed.FS

// file is an embedded file, ready to be sent.
type file struct {
	kind       string // its media type
	etag       string
	plain, zip []byte
}

// files has all embedded files by name; it is made once per process.
var files = sync.OnceValue(func() map[string]*file {
	kinds := map[string]string{
		".html": "text/html; charset=utf-8",
		".css":  "text/css; charset=utf-8",
		".js":   "text/javascript; charset=utf-8",
		".svg":  "image/svg+xml",
	}
	all := make(map[string]*file)
	_ = fs.WalkDir(web, "web", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := web.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(text)
		all[strings.TrimPrefix(name, "web/")] = &file{
			kind:  kinds[path.Ext(name)],
			etag:  `"` + hex.EncodeToString(sum[:8]) + `"`,
			plain: text,
			zip:   zipped(text),
		}
		return nil
	})
	return all
})

// staticFiles serves the page and its files. Browsers may cache them, but have to check each time,
// so that a new version of the program is used at once.
func staticFiles() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" {
			name = "index.html"
		}
		f := files()[name]
		if f == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
			fail(w, errNotFound)
			return
		}
		send(w, r, f, "no-cache")
	})
}

// send sends a file; keep is its Cache-Control.
func send(w http.ResponseWriter, r *http.Request, f *file, keep string) {
	h := w.Header()
	h.Set("Cache-Control", keep)
	h.Set("ETag", f.etag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	text := f.plain
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		text = f.zip
	}
	_, _ = w.Write(text)
}
