// Package transport opens the connections to members and reports what happens on them.
//
// It sees every net.Conn on its way into gRPC, at two places: in its own dialer, and in the
// transport credentials. A user may replace either one through DialOptions; the other still sees
// the connection. If both are replaced, the client knows of a connection only from the answers.
//
// Each resolver.Address has a Peer among its attributes. gRPC passes the attributes to the dialer
// and to the handshake, so each connection finds its member, and reports to it: that it is open,
// that bytes arrived, that the handshake failed.
//
// The addresses of a DNS name are alternatives (names.go). Goroutines here end with the
// call that began them. A Peer is called from gRPC's goroutines, several at once.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/internal/endpoint"
)

// Peer is the member at the other end of a connection.
type Peer interface {
	// Endpoint returns the endpoint of the connection.
	Endpoint() endpoint.Endpoint
	// ConnOpened hands over a connection.
	ConnOpened(net.Conn)
	// BytesArrived is called after every read that brought bytes.
	BytesArrived()
	// ConnFailed reports that dialing or the handshake failed; wrong is set if the other side is
	// not what the configuration expects (another protocol, an invalid certificate), which no
	// repetition corrects.
	ConnFailed(err error, wrong bool)
	// Addresses gets the result of a lookup of the endpoint's name, nothing if it failed, and
	// returns the addresses to try, in this order.
	Addresses(found []netip.Addr) []netip.Addr
	// MayDiagnose reports whether it is time to find out, with another connection, why the server
	// closes ours silently.
	MayDiagnose() bool
}

type peerKey struct{}

// WithPeer attaches p to an address's attributes.
func WithPeer(a *attributes.Attributes, p Peer) *attributes.Attributes {
	return a.WithValue(peerKey{}, p)
}

// PeerOf returns the peer attached to a, nil if there is none.
func PeerOf(a *attributes.Attributes) Peer {
	if a == nil {
		return nil
	}
	p, _ := a.Value(peerKey{}).(Peer)
	return p
}

func peerOf(ctx context.Context) Peer {
	return PeerOf(credentials.ClientHandshakeInfoFromContext(ctx).Attributes)
}

// Dial is the dialer of all connections, unless the user brings one.
func Dial(ctx context.Context, target string) (net.Conn, error) {
	p := peerOf(ctx)
	if p == nil {
		network, addr := endpoint.SplitTarget(target)
		return dialer.DialContext(ctx, network, addr)
	}
	c, err := dialPeer(ctx, p)
	if err != nil {
		p.ConnFailed(err, false)
		return nil, err
	}
	return track(c, p), nil
}

// diagnoseTimeout bounds the diagnosis of a server that closes connections.
const diagnoseTimeout = time.Second

// diagnose finds out whether a server that closed a connection silently uses TLS where the client
// does not, or the other way round. It returns nil if it does not, or cannot be reached.
func diagnose(addr net.Addr, overTLS bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), diagnoseTimeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, addr.Network(), addr.String())
	if err != nil {
		return nil
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if c.SetDeadline(deadline) != nil {
		return nil
	}
	if !overTLS {
		// Nothing is sent over it, so the server's identity does not matter.
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		if err := t.HandshakeContext(ctx); err == nil || isAlert(err) {
			return ErrWantsTLS
		}
		return nil
	}
	// The client's preface with an empty SETTINGS frame (RFC 9113, section 3.4).
	if _, err := c.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil {
		return nil
	}
	var first [9]byte
	n, _ := io.ReadFull(c, first[:]) // fewer bytes are judged too
	if n < 4 {
		return nil
	}
	switch notHTTP2(first[:n], false) {
	case nil, ErrPlainHTTP:
		return ErrNotTLS
	}
	return nil // a TLS server answers with an alert; it closed for another reason
}

// track wraps c so that it reports to p.
func track(c net.Conn, p Peer) net.Conn {
	t := &trackedConn{Conn: c, peer: p}
	p.ConnOpened(t)
	return t
}

// trackedConn reports arriving bytes to its peer and examines the first ones, which show whether
// the server uses HTTP/2.
type trackedConn struct {
	_ [0]func() // not comparable, see balancer.conn
	net.Conn
	peer    Peer
	started atomic.Bool // the first bytes were seen
	secure  bool        // the bytes come decrypted out of a TLS connection
}

func (t *trackedConn) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if n > 0 {
		if !t.started.Load() && !t.started.Swap(true) {
			if err := notHTTP2(b[:n], t.secure); err != nil {
				t.peer.ConnFailed(err, true)
			}
		}
		t.peer.BytesArrived()
	}
	if t.secure && isAlert(err) {
		// With TLS 1.3 a server refuses the client's certificate after the handshake.
		t.peer.ConnFailed(err, true)
	}
	if err == io.EOF && !t.secure && !t.started.Load() && t.peer.MayDiagnose() {
		if err := diagnose(t.RemoteAddr(), false); err != nil {
			t.peer.ConnFailed(err, true)
		}
	}
	return n, err
}

// refusalWithin bounds the look for an alert that has arrived already.
const refusalWithin = 100 * time.Millisecond

// Write looks for the server's reason if it fails. A server that refuses the client's certificate
// sends an alert and closes. If this process was held up meanwhile, gRPC's first write fails before
// gRPC has read the alert, and gRPC would close the connection with "broken pipe".
func (t *trackedConn) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	if err != nil && t.secure && !t.started.Load() {
		_ = t.SetReadDeadline(time.Now().Add(refusalWithin)) // if it is closed, Read says so at once
		// What it may read instead is of no use: the connection is over. A read under way meets the
		// same alert.
		var first [9]byte
		if _, reason := t.Read(first[:]); isAlert(reason) {
			err = reason
		}
	}
	return n, err
}

// Errors that say what answered instead of an etcd server.
var (
	ErrPlainHTTP = errors.New("not an etcd server: it answers in plain HTTP/1")
	ErrWantsTLS  = errors.New("the server speaks TLS, the client is configured for plain text")
	ErrNotTLS    = errors.New("the server does not speak TLS, the client is configured for TLS")
	ErrNotHTTP2  = errors.New("not an etcd server: it does not speak HTTP/2")
)

// notHTTP2 judges the first bytes of a server. An HTTP/2 server begins with a
// SETTINGS frame: three bytes of length, then type 4 (RFC 9113, section 3.4). A
// TLS server that is spoken to in plain text answers with an alert record: type
// 21, then version 3.x (RFC 8446, section 5.1).
func notHTTP2(b []byte, secure bool) error {
	switch {
	case len(b) >= 4 && b[3] == 4 && b[0] == 0:
		return nil
	case len(b) >= 5 && string(b[:5]) == "HTTP/":
		if !secure && wantsTLS(b) {
			return ErrWantsTLS
		}
		return ErrPlainHTTP
	case len(b) >= 2 && (b[0] == 21 || b[0] == 22) && b[1] == 3:
		return ErrWantsTLS
	case len(b) < 4:
		return nil // too few bytes to judge
	}
	return ErrNotHTTP2
}

// wantsTLS: Go's HTTPS server answers a plain request with status 400 in
// HTTP/1.0, which an ordinary HTTP/1 server has no reason to use.
func wantsTLS(b []byte) bool {
	const status = "HTTP/1.0 400"
	return len(b) >= len(status) && string(b[:len(status)]) == status
}

// Credentials secures connections as their endpoints require: with cfg, or in plain text. Without
// cfg only https and unixs endpoints use TLS, with the system's certificate authorities. If roots
// is not nil, it gives the authorities for every handshake, in place of cfg.RootCAs. Safe for
// concurrent use.
func Credentials(cfg *tls.Config, roots Roots) credentials.TransportCredentials {
	return newCreds(cfg, roots)
}

// CredentialsFor is Credentials for connections without a Peer, all to one endpoint.
func CredentialsFor(e endpoint.Endpoint, cfg *tls.Config, roots Roots) credentials.TransportCredentials {
	c := newCreds(cfg, roots)
	c.only = &e
	return c
}

func newCreds(cfg *tls.Config, roots Roots) *creds {
	c := &creds{haveConfig: cfg != nil, cfg: cfg, roots: roots, plain: insecure.NewCredentials()}
	if cfg == nil {
		c.cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c.secure = credentials.NewTLS(c.cfg)
	return c
}

type creds struct {
	haveConfig    bool               // the user gave a TLS configuration
	only          *endpoint.Endpoint // the endpoint of connections without a Peer; nil: unknown
	cfg           *tls.Config
	roots         Roots
	secure, plain credentials.TransportCredentials
}

// tls returns the credentials for one handshake.
func (c *creds) tls() (credentials.TransportCredentials, error) {
	if c.roots == nil {
		return c.secure, nil
	}
	pool, err := c.roots()
	if err != nil {
		return nil, err
	}
	cfg := c.cfg.Clone()
	cfg.RootCAs = pool
	return credentials.NewTLS(cfg), nil
}

// UseTLS reports whether a connection to e is encrypted.
func UseTLS(e endpoint.Endpoint, haveConfig bool) bool {
	switch e.Security {
	case endpoint.Secure:
		return true
	case endpoint.Plain:
		return false
	}
	return haveConfig
}

func (c *creds) ClientHandshake(
	ctx context.Context,
	authority string,
	raw net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	p, to := peerOf(ctx), c.only
	if p != nil {
		e := p.Endpoint()
		to = &e
	}
	encrypted := c.haveConfig
	if to != nil {
		encrypted = UseTLS(*to, c.haveConfig)
	}
	if !encrypted {
		if _, tracked := raw.(*trackedConn); !tracked && p != nil {
			raw = track(raw, p)
		}
		return c.plain.ClientHandshake(ctx, authority, raw)
	}
	under := raw
	if t, ok := raw.(*trackedConn); ok {
		under = t.Conn // count decrypted reads only, once
	} else if p != nil {
		// Closing this one is what frees calls: closing the TLS connection above it
		// would first send a farewell to a peer that may be frozen.
		p.ConnOpened(raw)
	}
	secure, err := c.tls()
	if err != nil {
		return nil, nil, err
	}
	conn, info, err := secure.ClientHandshake(ctx, c.nameOf(to, authority), under)
	if p == nil {
		return conn, info, err
	}
	if err != nil {
		err, wrong := judgeTLS(err)
		if !wrong && ctx.Err() == nil {
			if !p.MayDiagnose() {
				return nil, nil, err // what the last look has found still counts
			}
			if found := diagnose(under.RemoteAddr(), true); found != nil {
				err, wrong = found, true
			}
		}
		p.ConnFailed(err, wrong)
		return nil, nil, err
	}
	return &trackedConn{Conn: conn, peer: p, secure: true}, info, nil
}

// nameOf returns the name for which the server's certificate must be valid. gRPC's credentials use
// only the authority, which is the user's if they set one.
func (c *creds) nameOf(to *endpoint.Endpoint, authority string) string {
	switch {
	case c.cfg.ServerName != "":
		return c.cfg.ServerName
	case to != nil && authority == to.Authority():
		return to.ServerName()
	}
	return authority
}

// judgeTLS reports whether the configuration is the reason for a failed handshake.
func judgeTLS(err error) (error, bool) {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &record):
		return ErrNotTLS, true
	case errors.As(err, &verify), isAlert(err):
		return err, true
	}
	return err, false
}

// isAlert reports whether the server refused with a TLS alert: it does not accept our certificate,
// or there is no common protocol. crypto/tls marks these errors by the operation.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

func (c *creds) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials serve clients only")
}

func (c *creds) Info() credentials.ProtocolInfo {
	if c.haveConfig {
		return c.secure.Info()
	}
	return c.plain.Info()
}

func (c *creds) Clone() credentials.TransportCredentials {
	d := *c
	d.secure, d.plain = c.secure.Clone(), c.plain.Clone()
	return &d
}

// OverrideServerName is deprecated in gRPC and does nothing here: the name
// comes from the TLS configuration or the endpoint.
func (c *creds) OverrideServerName(string) error { return nil }
