package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestWhatIsWrongIsSeenOnEveryPage: a full database, a dead member beside it, and a lost quorum,
// all real.
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
	for i := 0; i < 1000 && err == nil; i++ { // etcd knows its size once it has committed
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
	b.has("#live", "No space") // a dead member does not hide it, nor is hidden by it
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
	for _, theme := range []string{"Auto", "Light"} { // the system's theme, then the other one
		var faint []string
		if b.js(contrast, &faint); len(faint) > 0 {
			t.Errorf("hard to read: %q", faint)
		}
		b.press(theme)
	}
	b.run(chromedp.EmulateViewport(360, 740))
	if !b.is(`document.documentElement.scrollWidth <= innerWidth`) {
		t.Error("the banner is too wide for a phone")
	}
	b.shot("alarm-phone")
	b.run(chromedp.EmulateViewport(desktop.width, desktop.height))
	// The banner of any page leads to the operation, which shows first what it will do.
	b.press("Disarm alarms…")
	b.has("dialog[open]", "The cluster takes writes again")
	b.press("Cancel")
	only, _ := serve(t, own, console.WithReadOnly())
	r := open(t, only, desktop, "watch")
	r.has("#wrong", "refuses all writes")
	if r.is(`document.querySelector('#wrong button')`) {
		t.Error("a console that only reads offers to mend")
	}
	// A page that is opened now shows the earlier findings.
	r.visit("overview")
	r.has(".events-past", "No space: the database is full")
	b.visit("overview")
	b.await(
		"what happened, as a list and as marks",
		`['No space', 'Member down'].every((s) => document.querySelector('.events-past')?.innerText.includes(s)) && document.querySelectorAll('.past-chart .mark.begun').length >= 6`,
	)
	b.await("lines of what was", `document.querySelector('.past-chart .stroke').getAttribute('d').length > 10`)
	b.press("Last day")
	b.has(".past-chart .axis", "24 h ago")
	b.js(
		`document.querySelectorAll('.past-chart svg')[1].dispatchEvent(new PointerEvent('pointermove', {clientX: innerWidth}))`,
		nil,
	)
	b.has(".past-chart:nth-child(2) figcaption b", "MiB")
	b.has(".past-chart:nth-child(2) .at", "No space")
	b.js(`document.querySelector('.past').scrollIntoView()`, nil)
	b.shot("past")
	followers[1].Kill()
	b.has("#live", "No quorum")
	b.has("#wrong", "1 of 3 voting members answer, 2 are needed")
	b.has("#wrong", "Writes are refused")
}
