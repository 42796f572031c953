package console_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// sse is an event of a stream.
type sse struct{ name, id, data string }

// listen reads a stream until the test's end or until stop.
func (p *page) listen(path string) (events <-chan sse, stop func()) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	resp := p.request(ctx, "GET", path, nil)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		p.t.Fatalf("status %d, %v", resp.StatusCode, resp.Header)
	}
	ch := make(chan sse)
	go func() {
		defer close(ch)
		defer resp.Body.Close()
		var e sse
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			name, rest, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.name = rest
			case "id":
				e.id = rest
			case "data":
				e.data = rest
			case "":
				if e.name != "" {
					select {
					case ch <- e:
					case <-ctx.Done():
						return
					}
				}
				e = sse{}
			}
		}
	}()
	return ch, cancel
}

type batch struct {
	Prefix                   []byte
	Revision, Count, Dropped int64
	Gap, Live                bool
	Error                    string
	Changes                  []struct {
		Type       string
		Key, Value []byte
		Before     []byte
		At         int64
		Size       int
		Mod        int64
		Created    bool
	}
}

// next returns the next batch of a kind.
func (p *page) next(events <-chan sse, name string) (b batch, id string) {
	p.t.Helper()
	for {
		e := clienttest.Receive(p.t, name, events)
		if e.name == name {
			return decodeTo[batch](p.t, e.data), e.id
		}
	}
}

func (p *page) live(events <-chan sse, name string) {
	p.t.Helper()
	for {
		if b, _ := p.next(events, name); b.Live {
			return
		}
	}
}

func TestStreamOfTheOverview(t *testing.T) {
	p, client := open(t)
	events, stop := p.listen("api/stream?overview=1")
	defer stop()
	type overview struct {
		At, Revision int64
		Members      []struct{ Up bool }
	}
	rev := put(t, client, t.Name(), "")
	for n, last := 0, int64(0); n < 3; n++ {
		e := clienttest.Receive(t, "the overview", events)
		if e.name == "health" {
			n--
			continue
		}
		o := decodeTo[overview](t, e.data)
		if e.name != "overview" || len(o.Members) != 1 || !o.Members[0].Up || o.At <= last {
			t.Fatalf("%+v", e)
		}
		if last = o.At; n == 2 && o.Revision < rev {
			t.Fatalf("revision %d, not %d", o.Revision, rev)
		}
	}
}

func TestStreamOfChanges(t *testing.T) {
	p, client := open(t)
	prefix := t.Name() + "/"
	events, stop := p.listen("api/stream?watch=" + b64(prefix))
	defer stop()
	p.live(events, "watch")
	put(t, client, prefix+"\xff", "v\x00")
	put(t, client, "elsewhere"+prefix, "")
	if _, err := client.Delete(t.Context(), prefix+"\xff"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 2 {
		b, _ := p.next(events, "watch")
		for _, c := range b.Changes {
			got = append(got, fmt.Sprintf("%s %q %q %q %v", c.Type, c.Key, c.Value, c.Before, c.Created))
			if late := time.Since(time.UnixMilli(c.At)); late < -time.Second || late > clienttest.Long {
				t.Errorf("the event says that it arrived %v ago", late)
			}
		}
	}
	if want := []string{fmt.Sprintf("put %q %q %q true", prefix+"\xff", "v\x00",
		""), fmt.Sprintf("delete %q %q %q false", prefix+"\xff", "", "v\x00")}; fmt.Sprint(got) != fmt.Sprint(
		want,
	) {
		t.Fatalf("%v, not %v", got, want)
	}
	if _, err := client.Delete(t.Context(), "elsewhere"+prefix); err != nil {
		t.Fatal(err)
	}
}

// TestManyChangesAreCountedAll: a page gets the latest changes, and the count of all.
func TestManyChangesAreCountedAll(t *testing.T) {
	const n = 20000
	p, client := open(t)
	prefix := t.Name() + "/"
	events, stop := p.listen("api/stream?watch=" + b64(prefix))
	defer stop()
	p.live(events, "watch")
	notices, stopNotices := p.listen("api/stream?notice=" + b64(prefix))
	defer stopNotices()
	p.live(notices, "notice")
	all := func(yield func(string, string) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("%s%06d", prefix, i), strings.Repeat("x", 3000)) {
				return
			}
		}
	}
	if _, err := client.PutAll(t.Context(), all, clientv3.WithBulkInFlight(1)); err != nil {
		t.Fatal(err)
	}
	var count, dropped, sent, last int64
	for count < n {
		b, _ := p.next(events, "watch")
		count += b.Count
		dropped += b.Dropped
		sent += int64(len(b.Changes))
		if b.Count != b.Dropped+int64(len(b.Changes)) {
			t.Fatalf("of %d, %d are there and %d not", b.Count, len(b.Changes), b.Dropped)
		}
		for _, c := range b.Changes {
			if c.Mod < last || c.Size != 3000 || len(c.Value) > 2048 {
				t.Fatalf("%q of revision %d after %d, %d bytes", c.Key, c.Mod, last, len(c.Value))
			}
			last = c.Mod
		}
	}
	if count != n || dropped == 0 || sent+dropped != n {
		t.Fatalf("counted %d, dropped %d, sent %d", count, dropped, sent)
	}
	noticed := int64(0)
	for noticed < n {
		b, _ := p.next(notices, "notice")
		noticed += b.Count
		for _, c := range b.Changes {
			if len(c.Value) > 0 {
				t.Fatal("a notice has values")
			}
		}
	}
	t.Logf("%d changes, %d sent", n, sent)
}

func TestABrokenStreamGoesOn(t *testing.T) {
	client := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	p := serve(t, client, console.WithToken(secret))
	p.signIn()
	events, stop := p.listen("api/stream?watch=" + b64("k"))
	p.live(events, "watch")
	put(t, client, "k1", "")
	_, id := p.next(events, "watch")
	stop()
	put(t, client, "k2", "")
	p.header.Set("Last-Event-ID", id)
	events, stop = p.listen("api/stream?watch=" + b64("k"))
	for {
		if b, _ := p.next(events, "watch"); b.Count > 0 {
			if b.Count != 1 || string(b.Changes[0].Key) != "k2" {
				t.Fatalf("it went on with %+v", b)
			}
			break
		}
	}
	stop()
	rev := put(t, client, "k3", "")
	last := put(t, client, "k4", "")
	if _, err := client.Compact(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	events, stop = p.listen("api/stream?watch=" + b64("k"))
	defer stop()
	for gap := false; ; {
		b, _ := p.next(events, "watch")
		gap = gap || b.Gap
		if b.Revision == last {
			if !gap {
				t.Fatal("nothing said that changes are missing")
			}
			return
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	p, _ := open(t)
	var stops []func()
	for range 32 {
		_, stop := p.listen("api/stream?overview=1")
		stops = append(stops, stop)
	}
	p.refused("GET", "api/stream?overview=1", nil, http.StatusTooManyRequests, "too_many")
	for _, stop := range stops {
		stop()
	}
	clienttest.Await(t, "there is room again", func() bool {
		resp := p.request(t.Context(), "GET", "api/session", nil)
		resp.Body.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resp = p.request(ctx, "GET", "api/stream?overview=1", nil)
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	p.refused("GET", "api/stream?watch=*", nil, http.StatusBadRequest, "bad_request")
	p.refused("GET", "api/stream?"+strings.Repeat("watch=YQ&", 9), nil, http.StatusBadRequest, "bad_request")
}

func TestSigningOutEndsStreams(t *testing.T) {
	p, _ := open(t)
	events, _ := p.listen("api/stream?overview=1&watch=YQ")
	p.call("DELETE", "api/session", nil, nil)
	awaitEnd(t, events)
}

func TestCloseLeavesNothing(t *testing.T) {
	etcdtest.CheckLeaks(t)
	client := clienttest.Shared(t)
	c, err := console.New(client, console.WithOpenAccess())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(c)
	p := &page{t: t, url: s.URL, client: &http.Client{Transport: &http.Transport{}}, header: http.Header{}}
	events, _ := p.listen("api/stream?overview=1&watch=YQ&notice=Yg")
	clienttest.Receive(t, "an event", events)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, events)
	p.refused("GET", "api/count", nil, http.StatusServiceUnavailable, "closed")
	s.Close()
	p.client.CloseIdleConnections()
	if err := c.Close(); err != nil {
		t.Fatalf("a second time: %v", err)
	}
}

// awaitEnd reads a stream to its end, which has an event of its own.
func awaitEnd(t *testing.T, events <-chan sse) {
	t.Helper()
	last := ""
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for e := range events {
			last = e.name
		}
	}()
	clienttest.Await(t, "the end of the stream", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	if last != "end" {
		t.Fatalf("the last event is %q", last)
	}
}
