package console

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

// fromBase64 accepts both alphabets, with padding or without.
func fromBase64(s string) ([]byte, error) {
	s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	return base64.RawStdEncoding.DecodeString(s)
}

// prefixEnd returns the first key after all that begin with a prefix; if there is none, "\x00",
// which means the end of the key space in etcd.
func prefixEnd(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return "\x00"
}

// worthGzip is the size, in bytes, from which compressing an answer saves more than it costs.
const worthGzip = 4 << 10

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

func zipTo(w io.Writer, text []byte) {
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level exists
	_, _ = z.Write(text)
	_ = z.Close()
}

func zipped(text []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = z.Write(text)
	_ = z.Close()
	return b.Bytes()
}
