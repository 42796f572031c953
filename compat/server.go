package main

import (
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// start starts an empty etcd for one run of a package. The environment has its address for the
// tests; stop ends it.
func (s *server) start() (env []string, stop func(), err error) {
	if s == nil {
		return nil, func() {}, nil
	}
	var listener net.Listener
	if s.port != 0 {
		listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
		if err != nil {
			return nil, nil, fmt.Errorf("the tests need an etcd on port %d, which is taken: %w", s.port, err)
		}
	}
	cluster, err := etcdtest.StartMain(etcdtest.Options{})
	if err != nil {
		if listener != nil {
			listener.Close()
		}
		return nil, nil, err
	}
	endpoint := cluster.Endpoints()[0]
	if s.env != "" {
		env = []string{s.env + "=http://" + endpoint}
	}
	closeForward := func() {}
	if listener != nil {
		closeForward = forward(listener, endpoint)
	}
	return env, func() {
		closeForward()
		cluster.Stop()
	}, nil
}

// forward forwards connections to the server, which chose its port itself.
func forward(from net.Listener, to string) (stop func()) {
	p := faultnet.NewDetached(to)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := from.Accept()
			if err != nil {
				return
			}
			p.Handle(c)
		}
	})
	return func() {
		from.Close()
		wg.Wait()
		p.Close()
	}
}
