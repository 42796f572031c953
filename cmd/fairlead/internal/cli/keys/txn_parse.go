package keys

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
)

// txnText is a transaction in etcdctl's syntax: comparisons, requests for success, requests for
// failure, each part ended by an empty line or the end of the input.
//
//	value("stock/1") = "9"
//
//	put "stock/1" "8"
//
//	get stock/1
type txnText struct {
	compares         []clientv3.Cmp
	success, failure []txnRequest
}

// txnRequest is a request and the way to print its answer.
type txnRequest struct {
	op  clientv3.Op
	get getFlags
}

// lineReader counts lines, so that errors can name them.
type lineReader struct {
	next func() (string, error) // io.EOF after the last line
	n    int
}

// part reads lines up to an empty one and calls parse with each.
func (r *lineReader) part(parse func(string) error) error {
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.n++
		if line = strings.TrimSpace(line); line == "" {
			return nil
		}
		if err := parse(line); err != nil {
			return fmt.Errorf("line %d: %w", r.n, err)
		}
	}
}

// compareSyntax is TARGET("KEY") OP "VALUE"; the quotes follow Go's rules.
var compareSyntax = regexp.MustCompile(`^(\w+)\s*\(\s*("(?:[^"\\]|\\.)*"|[^)]*?)\s*\)\s*(!=|=|<|>)\s*(.*)$`)

func parseCompare(line string) (clientv3.Cmp, error) {
	var none clientv3.Cmp
	m := compareSyntax.FindStringSubmatch(line)
	if m == nil {
		return none, fmt.Errorf(`%s is no comparison like value("key") = "text" or mod("key") > "0"`, line)
	}
	key, err := unquote(m[2])
	if err != nil {
		return none, err
	}
	operand, err := unquote(m[4])
	if err != nil {
		return none, err
	}
	operator := m[3]
	if target := m[1]; target == "value" || target == "val" {
		return clientv3.Compare(clientv3.Value(key), operator, operand), nil
	}
	if m[1] == "lease" {
		id, err := parseLease(operand)
		if err != nil {
			return none, err
		}
		return clientv3.Compare(clientv3.LeaseValue(key), operator, id), nil
	}
	n, err := strconv.ParseInt(operand, 10, 64)
	if err != nil {
		return none, fmt.Errorf("%q is no number", operand)
	}
	switch m[1] {
	case "create", "c":
		return clientv3.Compare(clientv3.CreateRevision(key), operator, n), nil
	case "mod", "m":
		return clientv3.Compare(clientv3.ModRevision(key), operator, n), nil
	case "version", "ver":
		return clientv3.Compare(clientv3.Version(key), operator, n), nil
	}
	return none, fmt.Errorf("cannot compare %q: have value, version, create, mod, lease", m[1])
}

func unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	text, err := strconv.Unquote(s)
	if err != nil {
		return "", fmt.Errorf("%s: quotes do not match or an escape is unknown", s)
	}
	return text, nil
}

// parseRequest reads a get, put or del with the command's arguments and flags.
func parseRequest(line string) (txnRequest, error) {
	var r txnRequest
	words, err := splitWords(line)
	if err != nil {
		return r, err
	}
	var (
		put putFlags
		del delFlags
	)
	fs := pflag.NewFlagSet(words[0], pflag.ContinueOnError)
	fs.Usage = func() {}
	switch words[0] {
	case "get":
		r.get.register(fs)
	case "put":
		put.register(fs)
	case "del":
		del.register(fs)
	default:
		return r, fmt.Errorf("%q is no request: have get, put, del", words[0])
	}
	if err := fs.Parse(words[1:]); err != nil {
		return r, fmt.Errorf("%s: %w", words[0], err)
	}
	switch words[0] {
	case "get":
		r.op, err = r.get.op(fs.Args())
	case "put":
		r.op, err = put.op(fs.Args(), func() (string, error) { return "", errors.New("put needs a value here") })
	case "del":
		r.op, err = del.op(fs.Args())
	}
	return r, err
}

// splitWords splits at blanks; "..." holds Go escapes, '...' is literal.
func splitWords(line string) ([]string, error) {
	var words []string
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		switch rest[0] {
		case '"':
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("%s: quotes do not match or an escape is unknown", rest)
			}
			word, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			words, rest = append(words, word), rest[len(quoted):]
		case '\'':
			word, after, ok := strings.Cut(rest[1:], "'")
			if !ok {
				return nil, fmt.Errorf("%s: quotes do not match", rest)
			}
			words, rest = append(words, word), after
		default:
			end := strings.IndexAny(rest, " \t")
			if end < 0 {
				end = len(rest)
			}
			words, rest = append(words, rest[:end]), rest[end:]
		}
	}
	return words, nil
}
