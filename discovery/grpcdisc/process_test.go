package grpcdisc_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// processEnv makes the test's program a server.
const processEnv = "FAIRLEAD_GRPCDISC_SERVER"

// process serves until its standard input ends, and prints its address.
func process() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	go s.Serve(l)
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Stop()
}

// child is a server in a process of its own, which can be stopped.
type child struct {
	server
	*clienttest.Process
}

func startProcess(t testing.TB) *child {
	t.Helper()
	c := &child{Process: clienttest.StartProcess(t, processEnv)}
	c.addr = c.Addr
	return c
}
