package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/discovery"
)

// TestControlsOfServices: an operator splits calls, changes a weight and drains an instance. The
// page shows the effect before, and the present state afterwards; with the keyboard alone.
func TestControlsOfServices(t *testing.T) {
	base, client := serve(t, cluster)
	service := "cart-<b>" + strings.Repeat("x", 3)
	format := discovery.JSON{}
	t.Cleanup(func() {
		for _, prefix := range []string{"/fairlead/control/", "/fairlead/services/cart"} {
			if _, err := client.Delete(context.Background(), prefix, clientv3.WithPrefix()); err != nil {
				t.Error(err)
			}
		}
	})
	for i, version := range []string{"v1", "v1", "v2"} {
		in := &discovery.Instance{
			Service:   service,
			ID:        fmt.Sprint("cart-", i),
			Addresses: []string{"10.0.0.1:80"},
			Version:   version,
			Metadata:  map[string]string{"owner\u202e": "<img src=x>"},
		}
		text, err := format.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		put(t, client, format.Key(in), string(text))
	}
	control := func() discovery.Control {
		t.Helper()
		c, err := discovery.ReadControl(t.Context(), client, service)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	b := open(t, base, desktop, "services?q=cart")
	b.expect("409")
	b.expect("400") // a split that does not add up
	b.has("main", "33.3 %")
	// keyboard moves the focus to a button with the keyboard and presses it.
	keyboard := func(name string) {
		t.Helper()
		b.await("there is "+name, button(name))
		for range 80 {
			if b.is(`document.activeElement === ` + button(name)) {
				b.keys("\r")
				return
			}
			b.keys(kb.Tab)
		}
		t.Fatalf("%s cannot be reached by the keyboard", name)
	}
	keyboard("Split its calls…")
	b.has("dialog", "Split the calls")
	b.await(
		"a part for each version",
		`[...document.querySelectorAll('dialog .part input')].map((i) => i.value).join() === 'v1,100,v2,0'`,
	)
	b.enter(`dialog .part input[aria-label="Percent"]`, "90")
	b.has("dialog [role=status]", "90 % in all, not 100")
	b.examineBoth("the split")
	keyboard("Show what it will do")
	b.has("dialog .say", "add up")
	b.js(`document.querySelectorAll('dialog .part input')[3].select()`, nil)
	b.js(`document.querySelectorAll('dialog .part input')[3].focus()`, nil)
	b.keys("10")
	keyboard("Show what it will do")
	b.has("dialog", "Split the calls like this?")
	b.await(
		"what it will do",
		`[...document.querySelectorAll('dialog td[data-label="Calls then"]')].map((c) => c.innerText).join() === '45 %,45 %,10 %'`,
	)
	b.examineBoth("the prospect")
	b.shot("split")
	if len(control().Split) != 0 {
		t.Fatal("it was split before it was confirmed")
	}
	keyboard("Split them")
	b.has(".toast", "The calls are split")
	b.has(".said", "v2")
	if s := control().Split.String(); s != "v1=90 v2=10" {
		t.Fatal(s)
	}
	b.js(`document.activeElement.blur()`, nil)
	keyboard("Weight…")
	b.enter("dialog input", "30")
	keyboard("Show what it will do")
	b.has("dialog", "67.5 %")
	// Another client is faster.
	if err := discovery.ChangeControl(t.Context(), client, service, func(c *discovery.Control) error {
		c.Override("cart-0", func(o *discovery.Override) { o.Weight = 20 })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	keyboard("Change it")
	b.has("dialog .say", "Somebody else changed this meanwhile")
	b.keys(kb.Escape)
	b.has("main", "its own: 10")
	if o := control().Instances["cart-0"]; o.Weight != 20 {
		t.Fatalf("%+v", o)
	}

	// The page of an instance.
	b.press("cart-0")
	b.has(".instance", "20, set by operators; its own is 10")
	b.has(".instance", "no lease")
	b.press("Drain…")
	b.has("dialog", "Drain this instance?")
	b.press("Drain it")
	b.has(".instance", "draining, set by operators")
	b.press("Revisions of its record")
	b.has(".instance", "1 of this key")
	b.examineBoth("an instance")
	b.shot("instance")
	if b.is(`document.querySelector('main img') || /\u202e/.test(document.querySelector('main').textContent)`) {
		t.Error("metadata is not shown inert")
	}
	b.press("Undrain…")
	b.press("Undrain it")
	b.has(".instance", "up")
	b.press("Weight…")
	b.press("Its own")
	b.press("Change it")
	b.await("its own weight", `!document.querySelector('.instance').innerText.includes('as operators say')`)
	_, err := client.Delete(t.Context(), format.Key(&discovery.Instance{Service: service, ID: "cart-0"}))
	if err != nil {
		t.Fatal(err)
	}
	b.has(".instance", "not registered")
	b.press("All instances")
	b.await("two are left", `document.querySelectorAll('td.actions').length === 2`)

	// The overrides of an absent instance.
	if err := discovery.ChangeControl(t.Context(), client, service, func(c *discovery.Control) error {
		c.Override("cart-9", func(o *discovery.Override) { o.Weight = 20 })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.has(".said", "cart-9 is not there; operators set weight 20")
	b.examineBoth("services")
	b.shot("services-controls")
	b.press("Take it back…")
	b.has("dialog", "then has only what it says of itself")
	b.press("Take it back")
	b.await("it is taken back", `!document.querySelector('.said').innerText.includes('cart-9')`)
	if c := control(); len(c.Instances) != 0 {
		t.Fatalf("%+v", c)
	}
}

// TestReadOnlyShowsControls and offers no changes.
func TestReadOnlyShowsControls(t *testing.T) {
	base, client := serve(t, cluster, console.WithReadOnly())
	seed(t, client)
	b := open(t, base, desktop, "services?service=orders&id=orders-7d9f-1")
	b.has(".instance", "Gets of the calls")
	b.has(".instance", "ago")
	for _, text := range []string{"Drain", "Weight…", "Remove", "Split"} {
		if b.is(button(text)) {
			t.Errorf("it offers %s", text)
		}
	}
}
