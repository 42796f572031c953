package httpdisc_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cli := clienttest.ForExample() // clientv3.New(...) in a program
	defer cli.Close()

	// A service that registers its address.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s of %s", r.URL.Path, r.Host)
	}))
	defer server.Close()
	registrar := discovery.NewRegistrar(cli)
	defer registrar.Close()
	_, err := registrar.Register(ctx,
		discovery.Instance{Service: "invoices", ID: "invoices-1", Addresses: []string{server.URL}})
	if err != nil {
		log.Fatal(err)
	}

	// A client that calls it by its name.
	directory := discovery.NewDirectory(cli)
	defer directory.Close()
	transport := httpdisc.New(directory, httpdisc.WithAttemptTimeout(2*time.Second))
	defer transport.Close()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	resp, err := client.Get("http://invoices/v1/list")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)
	// Output: /v1/list of invoices
}
