package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// tab is a tab with a profile of its own. Errors in its log, including violations of the content
// security policy, make the test fail, unless they are expected.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex // guards what follows
	expected []string   // parts of errors that belong to the test
	requests []string   // their URLs
}

// look is the size and theme of a tab.
type look struct {
	width, height int64
	dark          bool
}

var (
	desktop = look{width: 1280, height: 860}
	phone   = look{width: 360, height: 740}
)

// open opens a tab and signs in with the address that the console prints.
func open(t *testing.T, base string, l look, page string) *tab {
	t.Helper()
	b := tabOf(t, base, l)
	b.run(chromedp.Navigate(base + "/?token=" + url.QueryEscape(secret)))
	b.await("the first page", `document.querySelector('.page h1') !== null`)
	if page != "overview" {
		b.visit(page)
	}
	return b
}

// tabOf opens an empty tab.
func tabOf(t *testing.T, base string, l look) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chrome, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, b.event); err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	b.run(
		chromedp.EmulateViewport(l.width, l.height),
		func(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
			if _, err = cdp.Call(ctx, t, network.Enable, network.EnableParams{}); err != nil {
				return none, err
			}
			if _, err = cdp.Call(ctx, t, log.Enable, cdp.Empty{}); err != nil {
				return none, err
			}
			if _, err = cdp.Call(ctx, t, runtime.Enable, cdp.Empty{}); err != nil {
				return none, err
			}
			_, err = cdp.Call(
				ctx,
				t,
				emulation.SetEmulatedMedia,
				emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
					{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}},
			)
			return none, err
		},
	)
	return b
}

func (b *tab) event(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			text += " " + e.Description
		}
		b.problem(text)
	case *runtime.EventConsoleAPICalled:
		if kind := string(ev.Type); kind == "error" || kind == "warning" || kind == "assert" {
			var text []string
			for _, a := range ev.Args {
				text = append(text, string(a.Value)+a.Description)
			}
			b.problem(strings.Join(text, " "))
		}
	case *log.EventEntryAdded:
		level := string(ev.Entry.Level)
		if level == "error" || level == "warning" || string(ev.Entry.Source) == "security" {
			b.problem(ev.Entry.Text + " " + ev.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		b.mu.Lock()
		b.requests = append(b.requests, ev.Request.URL)
		b.mu.Unlock()
		if !strings.HasPrefix(ev.Request.URL, b.base) && !strings.HasPrefix(ev.Request.URL, "data:") {
			b.problem("a request to " + ev.Request.URL)
		}
	}
}

func (b *tab) problem(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.expected {
		if strings.Contains(text, e) {
			return
		}
	}
	b.t.Errorf("the browser reports: %s", text)
}

// expect declares that errors with a text belong to the test.
func (b *tab) expect(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, part)
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, clienttest.Long)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// ask runs an action and returns its result.
func ask[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, clienttest.Long)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// visit goes to a page by its address, as a link does.
func (b *tab) visit(page string) {
	b.t.Helper()
	b.js(fmt.Sprintf(`location.hash = %q`, "#/"+page), nil)
	name, _, _ := strings.Cut(page, "?")
	b.await("the page "+page, fmt.Sprintf(`document.querySelector('.page.%s h1') !== null`, name))
	if b.is(`document.querySelector('.failure')`) {
		b.t.Errorf("%s: %s", page, b.text(".failure"))
	}
}

// js evaluates an expression and decodes its value.
func (b *tab) js(expression string, into any) {
	b.t.Helper()
	text := ask(
		b,
		chromedp.Evaluate[string](
			`(async () => JSON.stringify(await (`+expression+`)) ?? 'null')()`,
			chromedp.EvalAwaitPromise,
		),
	)
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		b.t.Fatalf("%s: %s: %v", expression, text, err)
	}
}

func (b *tab) is(expression string) (ok bool) {
	b.t.Helper()
	b.js("Boolean("+expression+")", &ok)
	return ok
}

// await waits until an expression holds.
func (b *tab) await(what, expression string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(clienttest.Long); !b.is(expression); <-tick.C {
		if time.Now().After(end) {
			b.shot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
			b.t.Fatalf("%s: not within %v; the page says %q", what, clienttest.Long, b.text("main"))
		}
	}
}

// text returns the text that an element shows.
func (b *tab) text(selector string) (s string) {
	b.t.Helper()
	b.js(fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ''`, selector), &s)
	return s
}

// has waits until an element shows a text.
func (b *tab) has(selector, text string) {
	b.t.Helper()
	b.await(
		fmt.Sprintf("%s shows %q", selector, text),
		fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%q)`, selector, text),
	)
}

// button finds the first visible button (or link, or row of the tree) with a text.
func button(text string) string {
	return fmt.Sprintf(
		`[...(document.querySelector('dialog[open]:last-of-type') || document).querySelectorAll('button, a, summary')].find((b) => b.innerText.replace(/^[▸▾]/, "").trim().startsWith(%q) && b.offsetParent !== null)`,
		text,
	)
}

// press clicks on a button with the mouse.
func (b *tab) press(text string) {
	b.t.Helper()
	b.await("there is a button "+text, button(text)+` && !`+button(text)+`.disabled`)
	var at struct{ X, Y float64 }
	b.js(
		`(() => { const e = `+button(
			text,
		)+`; e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()`,
		&at,
	)
	b.run(chromedp.MouseClickXY(at.X, at.Y))
}

// enter replaces the text of a field with the keyboard.
func (b *tab) enter(selector, text string) {
	b.t.Helper()
	b.await("there is "+selector, fmt.Sprintf(`document.querySelector(%q)`, selector))
	b.js(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.focus(); e.select(); })()`, selector), nil)
	b.keys(text)
}

// keys types.
func (b *tab) keys(text string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(text))
}

// shot saves a screenshot in out/.
func (b *tab) shot(name string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join("out", name+".png"), ask(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
		b.t.Fatal(err)
	}
}
