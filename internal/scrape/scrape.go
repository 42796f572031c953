// Package scrape reads the metrics that members of a cluster publish in the Prometheus text format,
// at the addresses where their clients connect. It is safe for concurrent use.
package scrape

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// pageLimit bounds a page, which has some 200 KB.
const pageLimit = 8 << 20

// Reader reads pages.
type Reader struct {
	web    *http.Client
	secure bool
}

// New returns a reader that connects with TLS if secure is not nil.
func New(secure *tls.Config) *Reader {
	return &Reader{
		web: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig:     secure,
				MaxIdleConnsPerHost: 1,
				IdleConnTimeout:     10 * time.Second,
			},
		},
		secure: secure != nil,
	}
}

// Close closes connections that are kept for the next page.
func (r *Reader) Close() { r.web.CloseIdleConnections() }

// Answer is the header and certificate of a page.
type Answer struct {
	Header http.Header
	// Certificate is the server's; nil without TLS.
	Certificate *x509.Certificate
}

// Lines calls line for each line of a member's page, and returns the answer's header and
// certificate even if the page cannot be read. The endpoint is a URL or host:port.
func (r *Reader) Lines(ctx context.Context, endpoint string, line func(string)) (a Answer, _ error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		if u, err = url.Parse("http://" + endpoint); err != nil {
			return a, err
		}
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return a, errors.New(endpoint + " has no page of metrics: it is no address of HTTP")
	}
	if r.secure {
		u.Scheme = "https"
	}
	u.Path = "/metrics"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return a, err
	}
	resp, err := r.web.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.Header = resp.Header
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		a.Certificate = resp.TLS.PeerCertificates[0]
	}
	if resp.StatusCode != http.StatusOK {
		return a, errors.New(resp.Status)
	}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, pageLimit))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line(lines.Text())
	}
	return a, lines.Err()
}

// Sum adds up a metric over all its labels. It fails if the page does not have it.
func (r *Reader) Sum(ctx context.Context, endpoint, metric string) (float64, error) {
	total, found := 0.0, false
	_, err := r.Lines(ctx, endpoint, func(l string) {
		if v, ok := Value(l, metric); ok {
			total, found = total+v, true
		}
	})
	if err == nil && !found {
		err = errors.New(endpoint + " does not publish " + metric)
	}
	return total, err
}

// MemberID returns the id of a member that a line names as part of the page's process; several
// members in one process have one page.
func MemberID(line string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(line, `etcd_server_id{server_id="`)
	if !ok {
		return "", false
	}
	id, _, ok = strings.Cut(rest, `"`)
	return id, ok
}

// Value returns the number in a line of a metric, with or without labels.
func Value(line, metric string) (float64, bool) {
	rest, ok := strings.CutPrefix(line, metric)
	if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
		return 0, false
	}
	v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
	return v, err == nil
}
