package httpdisc

import (
	"fmt"
	"net/http"
	"strings"
)

// attemptError is the reason why an attempt got no answer.
type attemptError struct {
	service, host string
	err           error
	earlier       []string // the results of other attempts
}

func (e *attemptError) Error() string {
	text := fmt.Sprintf("httpdisc: service %q at %s: %v", e.service, e.host, e.err)
	if len(e.earlier) > 0 {
		text += " (also tried: " + strings.Join(e.earlier, "; ") + ")"
	}
	return text
}

func (e *attemptError) Unwrap() error { return e.err }

// note records the result of an attempt before the next one.
func (c *call) note(host string, resp *http.Response, err error) {
	text := host + ": "
	if e, ok := err.(*attemptError); ok {
		text += e.err.Error()
	} else {
		text += resp.Status
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = append(c.failed, text)
}

// explain adds to an error the results of the attempts on other instances.
func (c *call) explain(err error) error {
	e, ok := err.(*attemptError)
	if !ok {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range c.failed {
		if !strings.HasPrefix(text, e.host+": ") {
			e.earlier = append(e.earlier, text)
		}
	}
	return e
}
