package httpdisc_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

// processEnv is a variable that makes the test's program a server.
const processEnv = "FAIRLEAD_HTTPDISC_SERVER"

// process serves until its standard input ends, and prints its address.
func process() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := &http.Server{
		Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Server-Name", l.Addr().String()) },
		),
	}
	go s.Serve(l)
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = s.Close()
}
