package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Files names the certificate files of a client. Empty names are left out.
type Files struct {
	Cert, Key string // client certificate and its key, both or none
	CA        string // authority that the servers' certificates must come from
	// ServerName is checked against the server's certificate instead of the
	// endpoint's host.
	ServerName string
	// SkipVerify accepts any server certificate.
	SkipVerify bool
}

// Roots returns the present certificate authorities.
type Roots func() (*x509.CertPool, error)

// TLSConfig builds a configuration that follows its files: every new connection uses their present
// content. A file that is broken or half written while it is being replaced does no harm: the last
// valid content stays in use. The files must be readable and valid when TLSConfig is called.
//
// The configuration itself follows only the client certificate. crypto/tls reads the authorities
// only once, so to follow these pass the returned Roots (nil without a CA file) to Credentials.
func TLSConfig(f Files) (_ *tls.Config, follow Roots, _ error) {
	if (f.Cert == "") != (f.Key == "") {
		return nil, nil, errors.New("client certificate and key belong together: only one of the two files is given")
	}
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         f.ServerName,
		InsecureSkipVerify: f.SkipVerify,
	}
	if f.Cert != "" {
		pair := &reloaded[*tls.Certificate]{names: []string{f.Cert, f.Key}, load: func() (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(f.Cert, f.Key)
			if err != nil {
				return nil, fmt.Errorf("client certificate %s with key %s: %w", f.Cert, f.Key, err)
			}
			return &c, nil
		}}
		if _, err := pair.get(); err != nil {
			return nil, nil, err
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get() }
	}
	if f.CA != "" {
		pool := &reloaded[*x509.CertPool]{names: []string{f.CA}, load: func() (*x509.CertPool, error) {
			pem, err := os.ReadFile(f.CA)
			if err != nil {
				return nil, fmt.Errorf("certificate authority: %w", err)
			}
			p := x509.NewCertPool()
			if !p.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("certificate authority %s: no certificate in it", f.CA)
			}
			return p, nil
		}}
		roots, err := pool.get()
		if err != nil {
			return nil, nil, err
		}
		cfg.RootCAs = roots
		follow = pool.get
	}
	return cfg, follow, nil
}

// reloaded is a value made from files, made again when one of them changed.
type reloaded[T any] struct {
	names []string
	load  func() (T, error)

	mu     sync.Mutex
	value  T       // guarded by mu; what was loaded last
	stamps []stamp // guarded by mu; of the files that value was made from
}

type stamp struct {
	modified time.Time
	size     int64
}

func (r *reloaded[T]) get() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, err := r.stat()
	first := r.stamps == nil
	if err != nil || (!first && same(now, r.stamps)) {
		if first {
			return r.value, err
		}
		return r.value, nil
	}
	v, err := r.load()
	if err != nil {
		if first {
			return r.value, err
		}
		return r.value, nil
	}
	r.value, r.stamps = v, now
	return v, nil
}

func (r *reloaded[T]) stat() ([]stamp, error) {
	s := make([]stamp, len(r.names))
	for i, n := range r.names {
		fi, err := os.Stat(n)
		if err != nil {
			return nil, err
		}
		s[i] = stamp{fi.ModTime(), fi.Size()}
	}
	return s, nil
}

func same(a, b []stamp) bool {
	for i := range a {
		if !a[i].modified.Equal(b[i].modified) || a[i].size != b[i].size {
			return false
		}
	}
	return true
}
