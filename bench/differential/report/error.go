package report

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
)

// words is how many words of an error's text are compared, after gRPC's "rpc error: code = X desc
// =".
const words = 8

var (
	address = regexp.MustCompile(`(\[::1\]|127\.0\.0\.1|localhost)(:[0-9]+)?`)
	size    = regexp.MustCompile(`\([0-9]+ vs\.`) // of a message: ids in it differ
	rpc     = regexp.MustCompile(`^rpc error: code = \w+ desc = `)
)

// Error records everything that a program can ask of an error: the values that it equals, its
// code, what it wraps, and the first words of its text. named are the variables of the client's
// packages.
func (r *Recorder) Error(err error, named map[string]error) string {
	if err == nil {
		return "no error"
	}
	if known, ok := err.(rpctypes.EtcdError); ok {
		return fmt.Sprintf("rpctypes error %v %q", known.Code(), known.Error())
	}
	switch err {
	case context.Canceled:
		return "== context.Canceled"
	case context.DeadlineExceeded:
		return "== context.DeadlineExceeded"
	}
	for name, value := range named {
		if err == value {
			return "== " + name
		}
	}
	s := fmt.Sprintf("error of code %v", status.Code(err))
	for _, is := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, is) {
			s += fmt.Sprintf(", is %q", is)
		}
	}
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		s += fmt.Sprintf(", as rpctypes %q", known.Error())
	}
	return s + fmt.Sprintf(": %q", firstWords(err.Error()))
}

func firstWords(text string) string {
	text = size.ReplaceAllString(address.ReplaceAllString(text, "ADDRESS"), "(N vs.")
	head := rpc.FindString(text)
	list := strings.Fields(text[len(head):])
	return head + strings.Join(list[:min(words, len(list))], " ")
}
