package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/hosts"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/nameserver"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/site"
	"github.com/fairlead-go/fairlead/internal/transport"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const (
	// grace is how long requests may take to end when the agent ends.
	grace = 10 * time.Second
	// seenAfter is the time after which clients that ask over HTTP have used their answer.
	seenAfter = time.Second
	// serving is how long a draining instance goes on at least, for followers that are not
	// announced.
	serving = 5 * time.Second

	mostServices      = 1000
	mostRegistrations = 10_000
	mostConns         = 4096
	mostStreams       = 1000
)

// Agent serves what its options switch on. Make one with Listen, then call Serve once.
type Agent struct {
	o         Options
	directory *discovery.Directory
	feeds     *feeds
	book      *book
	names     *nameserver.Server // nil without DNS
	api       *api
	targets   *targetFile // nil without Prometheus' file
	plane     *plane      // nil without xDS
	servers   []*server
	unlock    func() // lets another agent use the directory of files
}

// server is one address or socket where HTTP is served.
type server struct {
	http.Server
	listener net.Listener
	where    string
}

// Listen checks the options and opens what they name; after an error nothing is left open. etcd may
// be away.
func Listen(client *clientv3.Client, o Options) (_ *Agent, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	a := &Agent{o: o, unlock: func() {}}
	defer func() {
		if err != nil {
			a.closeListeners()
			a.unlock()
		}
	}()
	after := seenAfter
	if o.DNS != "" {
		after += o.Answers.TTL // a client uses its answer for the TTL, in whole seconds
	}
	if o.Name == "" {
		o.Name = "fairlead agent"
	}
	host, _ := os.Hostname() // without a name, the process id has to do
	opts := []discovery.DirectoryOption{
		discovery.WithFormat(o.Format), discovery.WithLog(nil), discovery.WithProblems(a.problem),
		discovery.WithAnnounce(
			fmt.Sprintf("%s on %s, %d", o.Name, host, os.Getpid()),
		), discovery.WithAnnounceAfter(after),
	}
	var st *state
	if o.Files != "" {
		if err := os.MkdirAll(o.Files, 0o700); err != nil {
			return nil, err
		}
		opts = append(opts, discovery.WithFiles(filepath.Join(o.Files, "services")))
		if o.HTTP != "" || o.Socket != "" {
			unlock, err := lockDir(o.Files)
			if err != nil {
				return nil, err
			}
			a.unlock = unlock
			st = newState(filepath.Join(o.Files, "registrations.json"))
		}
	}
	a.directory = discovery.NewDirectory(client, opts...)
	a.feeds = &feeds{directory: a.directory, most: mostServices, byName: make(map[string]*feed)}
	a.book = newBook(client, o.Format, st, mostRegistrations, serving, o.Say)
	a.api = newAPI(client, o.Format, o.Base, a.feeds, a.book)
	if o.PrometheusFile != "" {
		if _, err := os.Stat(filepath.Dir(o.PrometheusFile)); err != nil {
			return nil, fmt.Errorf("--prometheus: %w", err)
		}
		a.targets = &targetFile{api: a.api, path: o.PrometheusFile, patterns: o.PrometheusServices, say: o.Say}
		if len(o.PrometheusServices) == 0 {
			a.targets.patterns = []string{"*"}
		}
	}
	if o.DNS != "" {
		source := newNames(a.directory)
		a.api.knowers = append(a.api.knowers, source)
		if a.names, err = nameserver.New(source, o.Answers); err == nil {
			err = a.names.Listen(o.DNS)
		}
		if err != nil {
			return nil, err
		}
	}
	if o.XDS != "" {
		if err := a.listenXDS(); err != nil {
			return nil, err
		}
	}
	if o.HTTP != "" {
		if err := a.listenHTTP(); err != nil {
			return nil, err
		}
	}
	if o.Socket != "" {
		if err := a.listenSocket(); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *Agent) problem(p discovery.Problem) {
	what := p.Key
	if what == "" {
		what = "service " + p.Service
	}
	a.o.Say(fmt.Sprintf("%q: %v", what, p.Err))
}

func (a *Agent) listenHTTP() error {
	g := &guard{hosts: map[string]bool{"localhost": true}}
	for _, h := range a.o.Hosts {
		g.hosts[site.HostName(h)] = true
	}
	var err error
	if a.o.TokenFile != "" {
		if g.tokens, err = openTokens(a.o.TokenFile, a.o.Say); err != nil {
			return fmt.Errorf("--tokens: %w", err)
		}
	}
	var secured *tls.Config
	scheme := "http"
	if a.o.Cert != "" {
		files, _, err := transport.TLSConfig(transport.Files{Cert: a.o.Cert, Key: a.o.Key})
		if err != nil {
			return fmt.Errorf("--http-cert, --http-key: %w", err)
		}
		// These files are read again when they change.
		secured = &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return files.GetClientCertificate(nil)
			},
		}
		scheme = "https"
	}
	l, err := net.Listen("tcp", a.o.HTTP)
	if err != nil {
		return err
	}
	for _, name := range hosts.Of(l.Addr()) {
		g.hosts[site.HostName(name)] = true
	}
	local, _ := onLoopback(a.o.HTTP) // Check has refused addresses that cannot be parsed
	g.private = !local || a.o.exposed
	s := a.serve(l, g, scheme+"://"+l.Addr().String())
	s.TLSConfig = secured
	return nil
}

// listenSocket opens the socket for this user alone. It replaces the socket of an agent that was
// killed.
func (a *Agent) listenSocket() error {
	if conn, err := net.Dial("unix", a.o.Socket); err == nil {
		conn.Close()
		return fmt.Errorf("--socket: another process listens on %s already", a.o.Socket)
	}
	if info, err := os.Lstat(a.o.Socket); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(a.o.Socket); err != nil {
			return err
		}
	}
	l, err := listenPrivately(a.o.Socket)
	if err != nil {
		return err
	}
	a.serve(l, &guard{socket: true}, "unix:"+a.o.Socket)
	return nil
}

func (a *Agent) serve(l net.Listener, g *guard, where string) *server {
	s := &server{listener: l, where: where}
	c := &conns{most: mostConns}
	// Streams have no end, so there is no limit for writing; a stream sets one for each event, and
	// a reader of a body sets one for reading.
	s.Server = http.Server{
		Handler: g.wrap(a.api), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ConnState: c.note, ErrorLog: zap.NewStdLog(zap.NewNop()),
	}
	a.servers = append(a.servers, s)
	return s
}

// Where returns lines that say where the agent answers.
func (a *Agent) Where() (lines []string) {
	if a.names != nil {
		lines = append(lines, fmt.Sprintf("answering for %s on %s, UDP and TCP", a.names.Domain(), a.names.Addr()))
	}
	if a.plane != nil {
		lines = append(lines, "serving xDS on "+a.plane.listener.Addr().String())
	}
	for _, s := range a.servers {
		lines = append(lines, "serving "+s.where)
	}
	if a.targets != nil {
		lines = append(lines, "writing "+a.o.PrometheusFile)
	}
	return lines
}

// Serve answers until ctx ends. Then it accepts no more, lets requests end for a while, and leaves
// its registrations in etcd for the next agent. The caller closes the client afterwards.
func (a *Agent) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer a.unlock()
	defer a.directory.Close()
	// These run longer than the requests, which need them.
	parts := worker.New(context.WithoutCancel(ctx))
	defer parts.Stop()
	a.book.start(parts.Context())
	defer a.book.stop()
	parts.Go(a.feeds.run)
	if a.targets != nil {
		parts.Go(a.targets.run)
	}
	if a.names != nil {
		parts.Go(func(context.Context) { a.names.Serve(ctx) })
	}
	if a.plane != nil {
		parts.Go(func(context.Context) {
			if err := a.plane.serve(ctx); err != nil {
				cancel(err)
			}
		})
	}
	for _, s := range a.servers {
		parts.Go(func(context.Context) {
			var err error
			if s.TLSConfig != nil {
				err = s.ServeTLS(s.listener, "", "")
			} else {
				err = s.Serve(s.listener)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				cancel(err)
			}
		})
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		a.o.Say("systemd could not be notified: " + err.Error()) // no reason not to serve
	}
	<-ctx.Done()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) // an error was reported above
	a.api.end()
	a.shutdown()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// shutdown lets requests end.
func (a *Agent) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var all sync.WaitGroup
	for _, s := range a.servers {
		all.Go(func() {
			if s.Shutdown(ctx) != nil {
				_ = s.Close() // the requests that are left had their time
			}
		})
	}
	all.Wait()
}

func (a *Agent) closeListeners() {
	for _, s := range a.servers {
		s.listener.Close()
	}
	if a.names != nil {
		a.names.Close()
	}
	if a.plane != nil {
		a.plane.close()
	}
}
