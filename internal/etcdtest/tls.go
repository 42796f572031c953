package etcdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLS is a certificate authority with a server and a client certificate, as files. Each call of
// NewTLS makes an authority of its own: the certificates of one are not trusted by the other.
type TLS struct {
	CAFile                        string
	CertFile, KeyFile             string // server: localhost, 127.0.0.1, ::1
	ClientCertFile, ClientKeyFile string // client: common name "root", so that it is etcd's root user too

	dir  string
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

// Certificate describes a certificate to issue. The zero value is valid for a server and a client
// on loopback, for a day.
type Certificate struct {
	CommonName string // may be empty; etcd takes it for the user name
	// names and addresses that it is valid for; if both are empty, localhost and the loopback
	// addresses
	DNSNames  []string
	IPs       []net.IP  //
	NotBefore time.Time // an hour ago if zero
	NotAfter  time.Time // in a day if zero; in the past for an expired one
}

// NewTLS makes an authority and its two certificates in a directory that is removed at the end of
// the test.
func NewTLS(t testing.TB) *TLS {
	t.Helper()
	a, err := NewTLSIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// NewTLSIn is NewTLS for callers without a test, in a directory that they own.
func NewTLSIn(dir string) (*TLS, error) {
	a := &TLS{dir: dir, pool: x509.NewCertPool()}
	if err := a.makeCA(); err != nil {
		return nil, fmt.Errorf("etcdtest: %w", err)
	}
	var err error
	if a.CertFile, a.KeyFile, err = a.issue("server", Certificate{}); err != nil {
		return nil, fmt.Errorf("etcdtest: %w", err)
	}
	if a.ClientCertFile, a.ClientKeyFile, err = a.issue("client", Certificate{CommonName: "root"}); err != nil {
		return nil, fmt.Errorf("etcdtest: %w", err)
	}
	return a, nil
}

// Issue makes another certificate of this authority, as NAME.pem and NAME-key.pem beside the
// others. Issuing a name again replaces its files, as the renewal of a certificate does.
func (a *TLS) Issue(t testing.TB, name string, c Certificate) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile, err := a.issue(name, c)
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

// ClientConfig returns a configuration that trusts the authority and shows the client certificate.
func (a *TLS) ClientConfig(t testing.TB) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.ClientCertFile, a.ClientKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

func (a *TLS) makeCA() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := template(Certificate{CommonName: "fairlead test authority"})
	if err != nil {
		return err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if a.ca, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.key = key
	a.pool.AddCert(a.ca)
	a.CAFile = filepath.Join(a.dir, "ca.pem")
	return writePEM(a.CAFile, "CERTIFICATE", der)
}

func (a *TLS) issue(name string, c Certificate) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template, err := template(c)
	if err != nil {
		return "", "", err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	// Every certificate is for servers and clients: the server's JSON gateway is a client of its
	// own server, with the server's certificate.
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.ca, key.Public(), a.key)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile = filepath.Join(a.dir, name+".pem")
	keyFile = filepath.Join(a.dir, name+"-key.pem")
	if err := writePEM(certFile, "CERTIFICATE", der); err != nil {
		return "", "", err
	}
	return certFile, keyFile, writePEM(keyFile, "PRIVATE KEY", keyDER)
}

func template(c Certificate) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	if len(c.DNSNames) == 0 && len(c.IPs) == 0 {
		c.DNSNames = []string{"localhost"}
		c.IPs = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Now().Add(-time.Hour)
		if !c.NotAfter.IsZero() && c.NotAfter.Before(c.NotBefore) {
			c.NotBefore = c.NotAfter.Add(-time.Hour)
		}
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(24 * time.Hour)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: c.CommonName},
		DNSNames:     c.DNSNames, IPAddresses: c.IPs,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}, nil
}

// writePEM replaces the file in one step, so that a reader sees either the old or the new
// certificate.
func writePEM(path, kind string, der []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
