package browser

import (
	"net"
	"net/http"
	"testing"

	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// TestTheConsoleGoesAwayAndComesBack: the page shows that it is cut off, and continues by itself
// without having missed a change.
func TestTheConsoleGoesAwayAndComesBack(t *testing.T) {
	client := clienttest.Dial(t, cluster.Endpoints()...)
	con, err := console.New(client, console.WithToken(secret))
	if err != nil {
		t.Fatal(err)
	}
	defer con.Close()
	serve := func(address string) (string, func()) {
		t.Helper()
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: con}
		go s.Serve(l)
		return l.Addr().String(), func() { s.Close() }
	}
	address, stop := serve("127.0.0.1:0")
	b := open(t, "http://"+address, desktop, "watch?prefix="+b64("away/"))
	b.expect("ERR_CONNECTION") // the browser's own message about each attempt
	b.expect("ERR_INCOMPLETE_CHUNKED_ENCODING")
	b.expect("ERR_EMPTY_RESPONSE")
	b.has(".counts", "Watching")
	put(t, client, "away/1", "before")
	b.has(".events", "before")
	stop()
	b.has("#live", "Reconnecting")
	put(t, client, "away/2", "meanwhile")
	_, stop = serve(address)
	defer stop()
	b.has("#live", "Live")
	b.has(".events", "meanwhile")
	put(t, client, "away/3", "after")
	b.has("#counted", "3 events")
}

func TestAClusterThatCannotBeReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	client := clienttest.Dial(t, address)
	con, err := console.New(client, console.WithToken(secret))
	if err != nil {
		t.Fatal(err)
	}
	defer con.Close()
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: con}
	defer s.Close()
	go s.Serve(web)
	b := open(t, "http://"+web.Addr().String(), desktop, "overview")
	b.expect("503")
	b.expect("504")
	b.has(".tile .figure", "Not reachable")
	b.has(".failure", address)
	b.has(".failure", "refused")
	b.shot("unreachable")
	b.js(`location.hash = '#/keys'`, nil)
	b.has(".treebox .failure", "refused")
}
