package browser

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestAMillionKeys: half of them under one flat prefix, half in a tree.
func TestAMillionKeys(t *testing.T) {
	const flat, branches, each = 500_000, 500, 1000
	own := etcdtest.Start(t, etcdtest.Options{})
	base, client := serve(t, own)
	all := func(yield func(string, string) bool) {
		for i := range flat {
			if !yield(fmt.Sprintf("flat/%07d", i), "v") {
				return
			}
		}
		for i := range branches {
			for j := range each {
				if !yield(fmt.Sprintf("tree/%03d/%04d", i, j), "v") {
					return
				}
			}
		}
	}
	begin := time.Now()
	if _, err := client.PutAll(clienttest.Within(t, 5*time.Minute), all); err != nil {
		t.Fatal(err)
	}
	t.Logf("a million keys written in %v", time.Since(begin).Round(time.Millisecond))
	b := open(t, base, desktop, "overview")
	// The limit is generous: a page must not take as long as reading all keys.
	took := func(what string, f func()) {
		t.Helper()
		begin := time.Now()
		f()
		d := time.Since(begin)
		t.Logf("%s: %v", what, d.Round(time.Millisecond))
		if d > 5*time.Second {
			t.Errorf("%s took %v", what, d)
		}
	}
	took("the top of the tree", func() {
		b.visit("keys")
		b.await("both branches", `document.querySelectorAll('.node').length === 2`)
	})
	took("the first of 500,000 keys", func() {
		b.press("flat/")
		b.has(".tree", "0000000")
	})
	took("the pages after that", func() {
		for n := 400; n <= 1200; n += 200 {
			b.js(`document.querySelector('button.more').scrollIntoView()`, nil)
			b.await("more", fmt.Sprintf(`document.querySelectorAll('.node').length >= %d`, n+1))
		}
	})
	b.js(`document.querySelector('.treebox').scrollTo(0, 0)`, nil)
	b.press("flat/")
	took("500 branches of 1,000 keys", func() {
		b.press("tree/")
		for n := 200; n < 500; n += 200 {
			b.await("a page of branches", fmt.Sprintf(`document.querySelectorAll('.node').length >= %d`, n+2))
			b.js(`document.querySelector('button.more')?.scrollIntoView()`, nil)
		}
		b.await("all branches", `document.querySelectorAll('.node').length === 502`)
	})
	took("a key", func() {
		b.visit("keys?prefix=" + b64("flat/04999") + "&key=" + b64("flat/0499999"))
		b.has("dl.facts", "1 B")
	})
	took("a count of them", func() {
		b.visit("keys")
		b.press("Count")
		b.has("main", "1,000,000 keys in all")
	})
	b.shot("million")
	took("a preview of a deletion", func() {
		b.visit("keys?prefix=" + b64("flat/"))
		b.press("Delete all of these")
		b.has("dialog", "500,000 keys")
		b.press("Cancel")
	})
}

// TestAThousandChangesASecond: the page stays responsive meanwhile, and counts all of them.
func TestAThousandChangesASecond(t *testing.T) {
	const perSecond = 1000
	base, client := serve(t, cluster)
	b := open(t, base, desktop, "watch?prefix="+b64("many/"))
	b.has(".counts", "Watching")
	b.js(
		`(() => { window.frames_ = []; let last = performance.now(); const f = (now) => { frames_.push(now - last); last = now; requestAnimationFrame(f); }; requestAnimationFrame(f); })()`,
		nil,
	)
	b.noteClicks()
	stop := churn(t, client, "many/", perSecond)
	begin := time.Now()
	b.await("some thousand", `parseInt(document.querySelector('#counted b').innerText.replaceAll(',', '')) > 5000`)
	var slowest time.Duration
	for i := range 5 { // it is responsive
		at := time.Now()
		b.press([]string{"Pause", "Go on"}[i%2])
		b.await("the button has changed", button([]string{"Go on", "Pause"}[i%2]))
		slowest = max(slowest, time.Since(at))
	}
	b.press("Go on")
	at := time.Now()
	b.enter(`input[aria-label="Filter"]`, `many/007`)
	b.await(
		"only what matches is shown",
		`[...document.querySelectorAll('.events tbody tr')].every((r) => r.innerText.includes('many/007')) && document.querySelectorAll('.events tbody tr').length > 0`,
	)
	filtered := time.Since(at)
	clicked := b.slowestClick()
	b.shot("thousand")
	n := stop()
	took := time.Since(begin)
	b.await(
		fmt.Sprintf("all %d are counted", n),
		fmt.Sprintf(`document.querySelector('#counted b').innerText.replaceAll(',', '') === '%d'`, n),
	)
	var frames struct{ Frames, Slow, Longest float64 }
	b.js(
		`({frames: frames_.length, slow: frames_.filter((f) => f > 100).length, longest: Math.max(...frames_)})`,
		&frames,
	)
	t.Logf(
		"%.0f changes per second, %d in all: a click is on screen within %v, and seen by the test within %v, a filter "+
			"within %v; %.0f frames, %.0f of them longer than 100 ms, the longest %.0f ms",
		float64(
			n,
		)/took.Seconds(),
		n,
		clicked,
		slowest.Round(time.Millisecond),
		filtered.Round(time.Millisecond),
		frames.Frames,
		frames.Slow,
		frames.Longest,
	)
	if slowest > 2*time.Second {
		t.Errorf("a click was answered after %v", slowest)
	}
	var shown struct{ Rows, Counted, Left int64 }
	b.js(`({rows: document.querySelectorAll('.events tbody tr').length})`, &shown)
	if shown.Rows > 200 {
		t.Errorf("%d rows are on the page", shown.Rows)
	}
}

// noteClicks begins to note how long the browser takes from a click until what it did is drawn.
func (b *tab) noteClicks() {
	b.t.Helper()
	b.js(
		`(() => { window.clicks_ = []; new PerformanceObserver((l) => clicks_.push(...l.getEntries().filter((e) => e.name === 'click').map((e) => e.duration))).observe({type: 'event', durationThreshold: 16}); })()`,
		nil,
	)
}

// slowestClick returns the longest of these times. The browser reports those from 16 ms on, in
// steps of 8.
func (b *tab) slowestClick() time.Duration {
	b.t.Helper()
	var ms float64
	b.js(`Math.max(16, ...clicks_)`, &ms)
	return time.Duration(ms) * time.Millisecond
}

// TestKeysWhileTheyChange: the tree and the shown key are updated, and the page stays responsive.
func TestKeysWhileTheyChange(t *testing.T) {
	base, client := serve(t, cluster)
	put(t, client, "busy/first", "0")
	stop := churn(t, client, "busy/", 1000)
	b := open(t, base, desktop, "keys?prefix="+b64("busy/"))
	b.press("000")
	b.has("pre.value", `"n"`)
	b.noteClicks()
	var slowest time.Duration
	for i := range 6 {
		was := b.text("dl.facts")
		b.await("the key's new revision", fmt.Sprintf(`document.querySelector('dl.facts').innerText !== %q`, was))
		at := time.Now()
		b.press([]string{"Text", "Hex"}[i%2])
		b.await(
			"the other form",
			fmt.Sprintf(
				`document.querySelector('.segments [aria-pressed=true]').innerText === %q`,
				[]string{"Text", "Hex"}[i%2],
			),
		)
		slowest = max(slowest, time.Since(at))
	}
	put(t, client, "busy/zzz", "new")
	b.await("the tree has grown", `document.querySelectorAll('.node').length > 100`)
	stop()
	t.Logf(
		"a click was on screen within %v, and seen by the test within %v",
		b.slowestClick(),
		slowest.Round(time.Millisecond),
	)
	if slowest > 2*time.Second {
		t.Error("that is too long")
	}
}
