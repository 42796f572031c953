package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/transport"
	"github.com/fairlead-go/fairlead/xds"
)

// mostPlaneConns bounds the connections of xDS clients, each of which has one.
const mostPlaneConns = 2048

// plane is where xDS is served.
type plane struct {
	xds      *xds.Server
	grpc     *grpc.Server
	listener net.Listener
}

func (o *Options) checkXDS() error {
	secured := o.XDSCert != "" || o.XDSKey != "" || o.XDSCAs != ""
	if o.XDS == "" {
		if secured || len(o.XDSServices) > 0 {
			return errors.New("--xds-cert, --xds-key, --xds-cacert and --xds-service are of no use without --xds")
		}
		return nil
	}
	local, err := onLoopback(o.XDS)
	switch {
	case err != nil:
		return fmt.Errorf("--xds: %w", err)
	case secured && (o.XDSCert == "" || o.XDSKey == "" || o.XDSCAs == ""):
		return errors.New("--xds-cert, --xds-key and --xds-cacert belong together: give all or none")
	case !secured && (!local || o.exposed):
		return fmt.Errorf(
			"--xds %s can be reached by others, so both sides must prove who they are: give --xds-cert, --xds-key and "+
				"--xds-cacert, or listen on 127.0.0.1",
			o.XDS,
		)
	}
	for _, name := range o.XDSServices {
		in := (discovery.Instance{Service: name, ID: "x", Addresses: []string{"localhost:1"}})
		if in.Validate() != nil {
			return fmt.Errorf("--xds-service: %q is not a name of a service", name)
		}
	}
	return nil
}

func (a *Agent) listenXDS() error {
	opts := xds.ServerOptions()
	if a.o.XDSCert != "" {
		files, roots, err := transport.TLSConfig(transport.Files{Cert: a.o.XDSCert, Key: a.o.XDSKey, CA: a.o.XDSCAs})
		if err != nil {
			return fmt.Errorf("--xds-cert, --xds-key, --xds-cacert: %w", err)
		}
		// These files are read again when they change.
		opts = append(
			opts,
			grpc.Creds(
				credentials.NewTLS(&tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
					pool, err := roots()
					return &tls.Config{
						MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
						ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
						GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
							return files.GetClientCertificate(nil)
						},
					}, err
				}}),
			),
		)
	}
	listener, err := net.Listen("tcp", a.o.XDS)
	if err != nil {
		return err
	}
	l := newGate(listener, mostPlaneConns)
	server, err := xds.New(a.directory, xds.WithServices(a.o.XDSServices...), xds.WithLog(a.o.Say))
	if err != nil {
		l.Close()
		return err
	}
	a.plane = &plane{xds: server, grpc: grpc.NewServer(append(opts, grpc.StatsHandler(l))...), listener: l}
	server.Register(a.plane.grpc)
	a.api.knowers = append(a.api.knowers, a.plane)
	a.api.planeStreams = server.Streams
	return nil
}

// serve serves until ctx ends. Streams have no end of their own, and clients keep the last
// resources that they got.
func (p *plane) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, p.close)
	defer stop()
	err := p.grpc.Serve(p.listener)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (p *plane) close() {
	p.xds.Close()
	p.grpc.Stop()
	p.listener.Close()
}

// known adds the services that are followed.
func (p *plane) known(all map[string]*discovery.Subscription) { p.xds.Services(all) }
