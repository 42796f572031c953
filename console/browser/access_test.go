package browser

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestAccessIsChanged: root makes a role and a user, sees which users have access to a key and what
// a user may do, and deletes the user, with the keyboard.
func TestAccessIsChanged(t *testing.T) {
	own := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, own.Endpoints()...)
	ctx := clienttest.Within(t, clienttest.Long)
	for _, do := range []func() error{
		func() error { _, err := client.UserAdd(ctx, "root", "r"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := client.AuthEnable(ctx); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	url := withLogin(t, own, client)
	b := tabOf(t, url, desktop)
	b.expect("401")
	b.expect("409")
	b.run(chromedp.Navigate(url))
	b.enter("input[name=user]", "root")
	b.enter("input[name=password]", "r\r")
	b.has("#who", "root")
	b.visit("access")
	b.has("main", "Authentication is on")

	b.byKeyboard("Add role…")
	b.enter("dialog input", "shop<b>")
	b.byKeyboard("Show what it will do")
	b.has("dialog", "has no permissions at first")
	b.examineBoth("a new role")
	b.byKeyboard("Add it")
	b.has("main", "shop<b>")
	b.byKeyboard("Grant…")
	b.enter("dialog input", "shop/")
	b.byKeyboard("Show what it will do")
	b.has("dialog", "may read all keys that begin with shop/")
	b.byKeyboard("Grant it")
	b.has("main", "all keys that begin with shop/")

	b.byKeyboard("Add user…")
	b.enter("dialog input", "ann")
	b.enter(`dialog input[aria-label="Password"]`, "a")
	b.byKeyboard("Show what it will do")
	b.has("dialog .say", "differ")
	b.enter(`dialog input[aria-label="Password again"]`, "a")
	b.examineBoth("a new user")
	b.byKeyboard("Show what it will do")
	b.has("dialog", "has no roles at first")
	b.byKeyboard("Add it")
	b.has("main", "ann")
	b.js(`document.activeElement.blur()`, nil)
	b.byKeyboard("Roles…") // of ann, who is the first
	b.js(`document.querySelector('dialog select').value = 'shop<b>'`, nil)
	b.byKeyboard("Show what it will do")
	b.has("dialog", "From now on ann may do what shop<b> may: read all keys that begin with shop/.")
	b.byKeyboard("Give it")
	b.await("she has it", `document.querySelector('table tbody tr').innerText.includes('shop<b>')`)

	b.byKeyboard("What may it do?")
	b.has("dialog", "read all keys that begin with shop/ by the role shop<b>")
	b.examineBoth("what a user may do")
	b.byKeyboard("Close")
	b.enter(`input[aria-label="Key"]`, "shop/cart\r")
	b.await(
		"who may",
		`[...document.querySelectorAll('[role=status] tbody tr')].map((r) => r.innerText.replace(/\s+/g, ' ').trim()).join() === 'ann read shop<b>,root read and write root'`,
	)
	b.enter(`input[aria-label="Key"]`, "bank\r")
	b.await("root alone", `document.querySelectorAll('[role=status] tbody tr').length === 1`)
	b.examineBoth("users and roles")
	b.shot("access")

	// Another client is faster.
	b.press("Delete…")
	b.has("dialog", "Delete this user?")
	root, err := clientv3.New(
		clientv3.Config{Endpoints: own.Endpoints(), Username: "root", Password: "r", Logger: client.GetLogger()},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := root.RoleAdd(ctx, "other"); err != nil {
		t.Fatal(err)
	}
	b.press("Delete it")
	b.has("dialog .say", "have changed since they were shown")
	b.press("Cancel")
	b.has("main", "other")
	b.press("Delete…")
	b.press("Delete it")
	b.await("she is gone", `!document.querySelector('table').innerText.includes('ann')`)
	if b.is(`document.querySelector('main b')`) {
		t.Error("a name became markup")
	}
}
