// Package transfer writes a prefix of a cluster to a file and back, and compares two of them.
//
// # The file
//
// JSON, one value per line. The first line describes the file, the last has the number of keys
// between them, so that a file that was cut short is recognized; each of the others is a key:
//
//	{"fairlead":"export","format":1,"prefix":"orders/","revision":4711,"cluster":"cdf818194e3a8c32"}
//	{"key":"orders/1","value":"{}","create":12,"mod":4700,"version":3,"lease":"694d9a3f","ttl":60}
//	{"end":1}
//
// Keys and values that are not UTF-8 are in "key64" and "value64", in base64. Only key and value
// are required, so that a file can be written by hand.
package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// header is the first line.
type header struct {
	Fairlead string `json:"fairlead"`
	Format   int    `json:"format"`
	Prefix   string `json:"prefix,omitempty"`
	Prefix64 []byte `json:"prefix64,omitempty"`
	Revision int64  `json:"revision"`
	Cluster  string `json:"cluster"`
}

const (
	magic   = "export"
	current = 1
)

// line is any other line.
type line struct {
	Key     *string `json:"key,omitempty"`
	Key64   []byte  `json:"key64,omitempty"`
	Value   *string `json:"value,omitempty"`
	Value64 []byte  `json:"value64,omitempty"`
	Create  int64   `json:"create,omitempty"`
	Mod     int64   `json:"mod,omitempty"`
	Version int64   `json:"version,omitempty"`
	Lease   string  `json:"lease,omitempty"`
	TTL     int64   `json:"ttl,omitempty"` // seconds, as granted

	End *int64 `json:"end,omitempty"` // keys in the file; the last line
}

// Text returns bytes as text if they are UTF-8, or else to be written in base64.
func Text(b []byte) (s *string, raw []byte) {
	if utf8.Valid(b) {
		t := string(b)
		return &t, nil
	}
	return nil, b
}

// Entry is a key of a file.
type Entry struct {
	Key, Value string
	Lease      string // of the cluster that it came from; "" for none
	TTL        int64  // of the lease, in seconds; 0 if it is not known
}

// reader reads a file and checks it.
type reader struct {
	in     *bufio.Reader
	number int // of the last line read, from 1
	prefix string
	keys   int64
	ended  bool
}

// Broken is the error of a file that cannot be used.
type Broken struct {
	Line int
	Why  error
}

func (e *Broken) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Why) }
func (e *Broken) Unwrap() error { return e.Why }

func (r *reader) broken(why error) error { return &Broken{r.number, why} }

// maxLine bounds a line: the largest value that a server accepts, in base64, is far smaller.
const maxLine = 256 << 20

func newReader(in io.Reader) (*reader, error) {
	r := &reader{in: bufio.NewReaderSize(in, 1<<20)}
	b, err := r.line()
	if err == io.EOF {
		r.number = 1
		return nil, r.broken(errors.New("the file is empty"))
	}
	if err != nil {
		return nil, err
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) // some editors write it
	if bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) {
		return nil, r.broken(errors.New("the file is in UTF-16, it has to be in UTF-8"))
	}
	var h header
	if err := json.Unmarshal(b, &h); err != nil || h.Fairlead != magic {
		return nil, r.broken(errors.New(`this is no export: it does not begin with {"fairlead":"export"`))
	}
	if h.Format != current {
		return nil, r.broken(fmt.Errorf("the format is %d; this program knows %d", h.Format, current))
	}
	r.prefix = h.Prefix
	if len(h.Prefix64) > 0 {
		r.prefix = string(h.Prefix64)
	}
	return r, nil
}

// line reads the next line that is not empty.
func (r *reader) line() ([]byte, error) {
	for {
		r.number++
		var b []byte
		for {
			part, err := r.in.ReadSlice('\n')
			b = append(b, part...)
			if len(b) > maxLine {
				return nil, r.broken(errors.New("the line is too long"))
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			if err != nil && err != io.EOF {
				return nil, err
			}
			if err == io.EOF && len(b) == 0 {
				return nil, io.EOF
			}
			break
		}
		if len(trim(b)) > 0 {
			return trim(b), nil
		}
	}
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r' || b[len(b)-1] == ' ') {
		b = b[:len(b)-1]
	}
	return b
}

// next reads a key; io.EOF after the last.
func (r *reader) next() (e Entry, err error) {
	b, err := r.line()
	if err == io.EOF {
		if !r.ended {
			return e, r.broken(errors.New("the file ends here, without its last line: it was cut short"))
		}
		return e, io.EOF
	}
	if err != nil {
		return e, err
	}
	if r.ended {
		return e, r.broken(errors.New("something follows the last line"))
	}
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return e, r.broken(err)
	}
	if l.End != nil {
		if *l.End != r.keys {
			return e, r.broken(fmt.Errorf("%d keys are announced, there are %d", *l.End, r.keys))
		}
		r.ended = true
		return r.next()
	}
	switch {
	case l.Key != nil && l.Key64 == nil:
		e.Key = *l.Key
	case l.Key == nil && l.Key64 != nil:
		e.Key = string(l.Key64)
	default:
		return e, r.broken(errors.New(`a line has one of "key" and "key64"`))
	}
	switch {
	case l.Value != nil && l.Value64 != nil:
		return e, r.broken(errors.New(`a line has one of "value" and "value64"`))
	case l.Value != nil:
		e.Value = *l.Value
	default:
		e.Value = string(l.Value64)
	}
	if e.Key == "" {
		return e, r.broken(errors.New("the key is empty"))
	}
	if l.TTL < 0 {
		return e, r.broken(errors.New("the ttl is below 0"))
	}
	e.Lease, e.TTL = l.Lease, l.TTL
	r.keys++
	return e, nil
}

// Check reads a file to its end and returns how many keys are in it.
func Check(in io.Reader) (keys int64, err error) {
	r, err := newReader(in)
	if err != nil {
		return 0, err
	}
	for {
		if _, err := r.next(); err == io.EOF {
			return r.keys, nil
		} else if err != nil {
			return 0, err
		}
	}
}
