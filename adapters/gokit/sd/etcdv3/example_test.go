package etcdv3_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/sd"
	"github.com/go-kit/kit/sd/lb"
	"github.com/go-kit/log"

	. "github.com/fairlead-go/fairlead/adapters/gokit/sd/etcdv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// The program of go-kit's documentation with its import changed, and a service behind the
// prefix that it calls.
func Example() {
	server, err := etcdtest.SharedMain()
	if err != nil {
		panic(err)
	}
	bar := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "barsvc answers") }),
	)
	defer bar.Close()

	// Let's say this is a service that means to register itself.
	// First, we will set up some context.
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	var (
		etcdServer = server.Endpoints()[0]
		prefix     = "/services/foosvc/"  // known at compile time
		instance   = "1.2.3.4:8080"       // taken from runtime or platform, somehow
		key        = prefix + instance    // should be globally unique
		value      = "http://" + instance // based on our transport
	)

	options := ClientOptions{
		// Path to trusted ca file
		CACert: "",

		// Path to certificate
		Cert: "",

		// Path to private key
		Key: "",

		// Username if required
		Username: "",

		// Password if required
		Password: "",

		// If DialTimeout is 0, it defaults to 3s
		DialTimeout: time.Second * 3,

		// If DialKeepAlive is 0, it defaults to 3s
		DialKeepAlive: time.Second * 3,
	}

	// Build the client.
	client, err := NewClient(ctx, []string{etcdServer}, options)
	if err != nil {
		panic(err)
	}

	// Build the registrar.
	registrar := NewRegistrar(client, Service{
		Key:   key,
		Value: value,
	}, log.NewNopLogger())

	// Register our instance.
	registrar.Register()

	// At the end of our service lifecycle, for example at the end of func main,
	// we should make sure to deregister ourselves.
	defer registrar.Deregister()

	// The service that we are about to call registers too.
	barRegistrar := NewRegistrar(client, Service{Key: "/services/barsvc/1", Value: bar.URL}, log.NewNopLogger())
	barRegistrar.Register()
	defer barRegistrar.Deregister()

	// It's likely that we'll also want to connect to other services and call
	// their methods.
	barPrefix := "/services/barsvc"
	logger := log.NewNopLogger()
	instancer, err := NewInstancer(client, barPrefix, logger)
	if err != nil {
		panic(err)
	}
	defer instancer.Stop()
	endpointer := sd.NewEndpointer(instancer, barFactory, logger)
	defer endpointer.Close()
	balancer := lb.NewRoundRobin(endpointer)
	retry := lb.Retry(3, 3*time.Second, balancer)

	// And now retry can be used like any other endpoint.
	req := struct{}{}
	answer, err := retry(ctx, req)
	if err != nil {
		panic(err)
	}
	fmt.Println(answer)
	// Output: barsvc answers
}

func barFactory(url string) (endpoint.Endpoint, io.Closer, error) { return call(url) }
