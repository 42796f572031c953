package console_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A program serves a console beside its own pages. Here the program's own server controls access.
func Example() {
	client := clienttest.ForExample() // clientv3.New(...)
	defer client.Close()

	c, err := console.New(client, console.WithOpenAccess(), console.WithReadOnly(), console.WithBasePath("/etcd/"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	mux := http.NewServeMux()
	mux.Handle("/etcd/", c)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the program's own page") })
	server := httptest.NewServer(mux)
	defer server.Close()

	resp, err := http.Get(server.URL + "/etcd/")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status, strings.Contains(string(page), "<title>Fairlead</title>"))
	// Output: 200 OK true
}
