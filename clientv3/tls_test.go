package clientv3_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// fromSpec makes a client as command lines do: from the names of files.
func fromSpec(t *testing.T, endpoint string, s clientv3.SecureConfig) *clientv3.Client {
	t.Helper()
	cfg, err := clientv3.NewClientConfig(&clientv3.ConfigSpec{Endpoints: []string{endpoint}, Secure: &s}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dial(t, *cfg)
}

func works(t *testing.T, c *clientv3.Client) {
	t.Helper()
	if _, err := c.Put(ctxFor(t, long), "k", "v"); err != nil {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca := etcdtest.NewTLS(t)
	cl := etcdtest.Start(t, etcdtest.Options{TLS: ca, ClientCertAuth: true})
	bare := cl.Endpoints()[0]
	full := clientv3.SecureConfig{Cacert: ca.CAFile, Cert: ca.ClientCertFile, Key: ca.ClientKeyFile}
	named := full
	named.ServerName = "localhost"
	for name, ep := range map[string]string{"host and port": bare, "https": "https://" + bare} {
		t.Run(name, func(t *testing.T) {
			works(t, fromSpec(t, ep, full))
			works(t, fromSpec(t, ep, named))
			works(t, dial(t, clientv3.Config{Endpoints: []string{ep}, TLS: ca.ClientConfig(t)}))
		})
	}
	c := fromSpec(t, bare, full)
	if s, err := c.Status(ctxFor(t, long), "https://"+bare); err != nil || s.Version == "" {
		t.Errorf("status: %v, %v", s, err)
	}
	cc, err := c.Dial("https://" + bare)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if s, err := clientv3.RetryMaintenanceClient(c, cc).Status(ctxFor(t, long), &pb.StatusRequest{}); err != nil ||
		s.Version == "" {
		t.Errorf("over Dial's connection: %v, %v", s, err)
	}
}

func TestTLSAuthorityOnly(t *testing.T) {
	t.Parallel()
	ca := etcdtest.NewTLS(t)
	cl := etcdtest.Start(t, etcdtest.Options{TLS: ca})
	works(t, fromSpec(t, cl.Endpoints()[0], clientv3.SecureConfig{Cacert: ca.CAFile}))
	works(t, fromSpec(t, cl.Endpoints()[0], clientv3.SecureConfig{InsecureSkipVerify: true}))
	works(t, fromSpec(t, cl.Members()[0].URL, clientv3.SecureConfig{InsecureTransport: true, Cacert: ca.CAFile}))
}

func TestTLSRefused(t *testing.T) {
	t.Parallel()
	ca, otherCA := etcdtest.NewTLS(t), etcdtest.NewTLS(t)
	cl := etcdtest.Start(t, etcdtest.Options{TLS: ca, ClientCertAuth: true})
	expiredCert, expiredKey := ca.Issue(t, "expired", etcdtest.Certificate{NotAfter: time.Now().Add(-time.Minute)})
	for name, tc := range map[string]struct {
		s    clientv3.SecureConfig
		want string
	}{
		"other authority": {clientv3.SecureConfig{
			Cacert: otherCA.CAFile, Cert: ca.ClientCertFile, Key: ca.ClientKeyFile,
		}, "unknown authority"},
		"wrong server name": {clientv3.SecureConfig{
			Cacert: ca.CAFile, Cert: ca.ClientCertFile, Key: ca.ClientKeyFile, ServerName: "elsewhere",
		}, "elsewhere"},
		"system authorities": {clientv3.SecureConfig{Cert: ca.ClientCertFile, Key: ca.ClientKeyFile}, "certificate"},
		"no certificate":     {clientv3.SecureConfig{Cacert: ca.CAFile}, "certificate"},
		"other's certificate": {
			clientv3.SecureConfig{Cacert: ca.CAFile, Cert: otherCA.ClientCertFile, Key: otherCA.ClientKeyFile}, "tls",
		},
		"expired certificate": {clientv3.SecureConfig{Cacert: ca.CAFile, Cert: expiredCert, Key: expiredKey}, "tls"},
	} {
		neverWorks(t, name, fromSpec(t, cl.Endpoints()[0], tc.s), tc.want)
	}
}

// neverWorks checks calls where no endpoint can work as configured. Those with a deadline wait for
// it, since somebody may correct the configuration. Those without fail at once. All say why.
func neverWorks(t *testing.T, name string, c *clientv3.Client, want string) {
	t.Helper()
	const limit = 700 * time.Millisecond
	for call, f := range map[string]func(context.Context) error{
		"put":      func(ctx context.Context) error { _, err := c.Put(ctx, "k", "v"); return err },
		"status":   func(ctx context.Context) error { _, err := c.Status(ctx, c.Endpoints()[0]); return err },
		"snapshot": func(ctx context.Context) error { _, err := c.Snapshot(ctx); return err },
	} {
		for _, tc := range []struct {
			how   string
			ctx   func() context.Context
			code  codes.Code
			waits bool
		}{
			{"no deadline", t.Context, codes.Unavailable, false},
			{"fail-fast", func() context.Context {
				return clientv3.WithFailFast(ctxFor(t, long))
			}, codes.Unavailable, false},
			{"deadline", func() context.Context { return ctxFor(t, limit) }, codes.DeadlineExceeded, true},
		} {
			began := time.Now()
			err := f(tc.ctx())
			took := time.Since(began)
			if clientv3.Code(err) != tc.code || errors.Is(err, context.DeadlineExceeded) != tc.waits ||
				!clientv3.SafeToRetry(err) {
				t.Errorf("%s, %s, %s: %v", name, call, tc.how, err)
			}
			if err != nil &&
				(!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), c.Endpoints()[0])) {
				t.Errorf("%s, %s, %s does not say why: %v", name, call, tc.how, err)
			}
			if tc.waits && !strings.HasPrefix(err.Error(), context.DeadlineExceeded.Error()) {
				t.Errorf("%s, %s, %s: does not begin as the context's error: %v", name, call, tc.how, err)
			}
			if tc.waits && took > limit+soon || !tc.waits && took > soon {
				t.Errorf("%s, %s, %s: took %v", name, call, tc.how, took)
			}
		}
	}
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	ca := etcdtest.NewTLS(t)
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]clientv3.SecureConfig{
		"certificate without key": {Cert: ca.ClientCertFile},
		"key without certificate": {Key: ca.ClientKeyFile},
		"missing authority":       {Cacert: garbage + ".none"},
		"garbage authority":       {Cacert: garbage},
		"garbage certificate":     {Cert: garbage, Key: ca.ClientKeyFile},
		"key of another":          {Cert: ca.ClientCertFile, Key: ca.KeyFile},
	} {
		cfg, err := clientv3.NewClientConfig(&clientv3.ConfigSpec{Endpoints: []string{"a:1"}, Secure: &s}, nil)
		if clientv3.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, %v", name, cfg, err)
		}
	}
}

// The files change under a running client: new connections use what they hold.
func TestTLSFilesAreReloaded(t *testing.T) {
	t.Parallel()
	ca := etcdtest.NewTLS(t)
	cl := etcdtest.Start(t, etcdtest.Options{TLS: ca, ClientCertAuth: true, Proxied: true})
	dir := t.TempDir()
	install := func(name, from string, age time.Duration) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age) // file systems with coarse clocks must see a change
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	wrong := etcdtest.NewTLS(t)
	install("ca", wrong.CAFile, 3*time.Hour)
	install("cert", wrong.ClientCertFile, 3*time.Hour)
	install("key", wrong.ClientKeyFile, 3*time.Hour)
	spec := clientv3.SecureConfig{
		Cacert: filepath.Join(dir, "ca"),
		Cert:   filepath.Join(dir, "cert"),
		Key:    filepath.Join(dir, "key"),
	}
	c := fromSpec(t, cl.Endpoints()[0], spec)
	if _, err := c.Put(t.Context(), "k", "v"); clientv3.Code(err) != codes.Unavailable {
		t.Fatalf("with the files of another authority: %v", err)
	}
	waits := make(chan error, 1)
	go func() { _, err := c.Put(ctxFor(t, long), "k", "v"); waits <- err }()
	install("ca", ca.CAFile, 2*time.Hour)
	install("cert", ca.ClientCertFile, 2*time.Hour)
	install("key", ca.ClientKeyFile, 2*time.Hour)
	if err := <-waits; err != nil {
		t.Fatalf("a call that waits while the right files come: %v", err)
	}
	// A half-written file does no harm.
	if err := os.WriteFile(spec.Cacert, []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(spec.Cert, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cl.Members()[0].Proxy().Cut()
	if err := cl.Members()[0].Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
		t.Errorf("with half-written files: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	m := etcdtest.Start(t, etcdtest.Options{Unix: true}).Members()[0]
	works(t, dial(t, clientv3.Config{Endpoints: []string{"unix://" + m.Socket}}))
	c := dial(t, clientv3.Config{Endpoints: []string{"unix:" + m.Socket}})
	works(t, c)
	if s, err := c.Status(ctxFor(t, long), "unix://"+m.Socket); err != nil || s.Leader == 0 {
		t.Errorf("%v, %v", s, err)
	}
}

func TestHTTPSchemeAndIPv6(t *testing.T) {
	t.Parallel()
	ca := etcdtest.NewTLS(t)
	m := etcdtest.Start(t, etcdtest.Options{}).Members()[0]
	works(t, dial(t, clientv3.Config{Endpoints: []string{"http://" + m.Endpoint}}))
	works(t, dial(t, clientv3.Config{Endpoints: []string{"http://" + m.Endpoint}, TLS: ca.ClientConfig(t)}))
	_, port, _ := net.SplitHostPort(m.Endpoint)
	works(t, dial(t, clientv3.Config{Endpoints: []string{"localhost:" + port}}))
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatalf("this machine has no IPv6 loopback: %v", err)
	}
	defer l.Close()
	go relay(l, m.Endpoint)
	works(t, dial(t, clientv3.Config{Endpoints: []string{l.Addr().String()}}))
	works(t, dial(t, clientv3.Config{Endpoints: []string{"http://" + l.Addr().String()}}))
}

// relay passes connections on to target until the listener is closed.
func relay(l net.Listener, target string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", target)
		if err != nil {
			in.Close()
			continue
		}
		for _, p := range [2][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				defer p[0].Close()
				defer p[1].Close()
				buf := make([]byte, 32<<10)
				for {
					n, err := p[0].Read(buf)
					if _, werr := p[1].Write(buf[:n]); err != nil || werr != nil {
						return
					}
				}
			}()
		}
	}
}

// A user's own dialer and credentials are used, and a silent member is found all
// the same.
func TestOwnDialerAndCredentials(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	var dials atomic.Int32
	dialer := grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	})
	creds := grpc.WithTransportCredentials(plainCredentials())
	for name, opts := range map[string][]grpc.DialOption{"dialer": {dialer}, "credentials": {creds}} {
		c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), DialOptions: opts})
		works(t, c)
		ch := c.Watch(ctxFor(t, 2*long), name)
		f := cl.Followers(t)[0]
		if err := f.Freeze(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		await(t, "a write succeeds", func() bool { // one that is under way on the frozen member fails
			_, err := c.Put(ctxFor(t, long), name, "v")
			return err == nil
		})
		next(t, ch)
		if err := f.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	if dials.Load() < 3 {
		t.Errorf("the own dialer was used %d times", dials.Load())
	}
}
