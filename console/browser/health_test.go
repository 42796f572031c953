package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestWhatIsWrongIsSeenOnEveryPage: a full database, a dead member beside it, and a lost quorum, all real.
func TestWhatIsWrongIsSeenOnEveryPage(t *testing.T) {
	own := etcdtest.Start(t, etcdtest.Options{Members: 3, Args: []string{"--quota-backend-bytes=2000000"}})
	base, client := serve(t, own)
	b := open(t, base, desktop, "overview")
	b.expect("503")
	b.expect("504")
	b.has("#live", "Live")
	b.await("nothing is wrong", `document.getElementById('wrong').hidden`)
	ctx := clienttest.Within(t, clienttest.Long)
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		_, err = client.Put(ctx, fmt.Sprint("fill/", i), strings.Repeat("x", 100_000))
	}
	if err == nil {
		t.Fatal("the database is not full")
	}
	b.has("#live", "No space")
	b.has("#wrong", "The whole cluster refuses all writes but deletions. Since ")
	b.has(".tile .figure", "No space")
	if strings.Contains(b.text("main"), "memberID") {
		t.Errorf("raw words of etcd: %s", b.text("main"))
	}
	followers := own.Followers(t)
	followers[0].Kill()
	b.has("#wrong", followers[0].Name+" does not answer")
	b.has("#wrong", "refuses all writes")
	b.has("#live", "No space") // a dead member does not hide it, nor the other way round
	var mark, colour, red string
	b.js(`getComputedStyle(document.getElementById('live')).color`, &colour)
	if b.js(`getComputedStyle(document.querySelector('.finding.stops strong')).color`, &red); colour != red {
		t.Errorf("the head of the page is %s while the alarm is %s", colour, red)
	}
	b.js(`getComputedStyle(document.getElementById('live'), '::before').content`, &mark)
	if mark != `"▲"` {
		t.Errorf("the mark in the head of the page is %s", mark)
	}
	b.visit("watch")
	b.has("#wrong", "refuses all writes")
	b.shot("alarm")
	// The banner of any page leads to what mends it, which shows first what it will do.
	b.press("Disarm alarms…")
	b.has("dialog[open]", "The cluster takes writes again")
	b.press("Cancel")
	only, _ := serve(t, own, console.ReadOnly())
	r := open(t, only, desktop, "watch")
	r.has("#wrong", "refuses all writes")
	if r.is(`document.querySelector('#wrong button')`) {
		t.Error("a console that only reads offers to mend")
	}
	followers[1].Kill()
	b.has("#live", "No quorum")
	b.has("#wrong", "1 of 3 voting members answer, 2 are needed")
	b.has("#wrong", "Writes are refused")
}
