package browser

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
)

// keyPage returns the address of a key.
func keyPage(key string) string { return "keys?key=" + b64(key) }

// TestAnEditThatLosesTheRace: nothing is overwritten silently; both values are shown, and the user
// decides.
func TestAnEditThatLosesTheRace(t *testing.T) {
	base, client := serve(t, cluster)
	b := open(t, base, desktop, "overview")
	b.expect("409")                           // the refusal, which Chromium lists among failed requests
	key := fmt.Sprint("race/", rand.Uint32()) // its history stays when it is deleted
	put(t, client, key, "first line\nsecond line")
	b.visit(keyPage(key))
	b.has("pre.value", "second line")
	b.press("Edit")
	b.enter("textarea", "first line\rmy line")
	put(t, client, key, "first line\ntheir line")
	b.has(".notice", "Somebody else has written the key")
	if v := b.text("pre.value"); v != "" {
		t.Errorf("the editor was replaced by %q", v)
	}
	b.press("Save")
	b.has("dialog", "The key was changed meanwhile")
	b.await(
		"both values are shown",
		`document.querySelector('dialog .diff .del').innerText.includes('their line') && document.querySelector('dialog .diff .add').innerText.includes('my line')`,
	)
	b.shot("edit-race")
	if v := value(t, client, key); v != "first line\ntheir line" {
		t.Fatalf("the key is %q", v)
	}
	// The user continues with their own value, and the other client is faster again.
	b.press("Go on editing mine")
	b.has(".notice", "Save now replaces")
	put(t, client, key, "first line\ntheir other line")
	b.press("Save")
	b.has("dialog", "their other line")
	b.press("Go on editing mine")
	b.press("Save")
	b.has("pre.value", "my line")
	if v := value(t, client, key); v != "first line\nmy line" {
		t.Fatalf("the key is %q", v)
	}
	// The key is deleted meanwhile.
	b.press("Edit")
	b.enter("textarea", "mine")
	if _, err := client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	b.has(".notice", "deleted")
	b.press("Save")
	b.has("dialog", "Somebody else deleted it")
	b.press("Take theirs")
	b.has("main", "does not exist")
	if v := value(t, client, key); v != "<none>" {
		t.Fatalf("the key is %q", v)
	}
	b.press("Revisions")
	b.await(
		"all revisions, the deletion among them",
		`document.querySelectorAll('.scroll tbody tr').length === 5 && document.querySelector('.scroll .tag.bad') !== null`,
	)
}

func TestNewKeysAndDeleting(t *testing.T) {
	base, client := serve(t, cluster)
	prefix := "new/" + t.Name() + "/"
	t.Cleanup(func() { client.Delete(t.Context(), prefix, clientv3.WithPrefix()) })
	b := open(t, base, desktop, "keys?prefix="+b64(prefix))
	b.expect("409")
	b.has(".treebox", "There are no keys here")
	b.press("New key")
	b.enter("dialog input", prefix+`a\n\xff\\x`)
	b.enter("dialog textarea", "value")
	b.press("Create")
	b.has("pre.value", "value")
	if v := value(t, client, prefix+"a\n\xff\\x"); v != "value" {
		t.Fatalf("the key is %q", v)
	}
	b.press("New key")
	b.enter("dialog input", prefix+`a\n\xff\\x`)
	b.press("Create")
	b.has("dialog .say", "The key exists already")
	b.press("Cancel")
	for _, s := range strings.Split("bcdefg", "") {
		put(t, client, prefix+s, s)
	}
	b.press("Count")
	b.has("main", "7 keys begin with")

	// A key that comes after the preview is not deleted, nor is any other.
	b.press("Delete all of these")
	b.has("dialog", "7 keys")
	b.shot("delete-preview")
	put(t, client, prefix+"late", "late")
	b.press("Delete 7 keys")
	b.has("dialog:last-of-type", "nothing was deleted")
	b.has("dialog:last-of-type", "late")
	b.press("Close")
	b.press("Cancel")
	if value(t, client, prefix+"b") != "b" || value(t, client, prefix+"late") != "late" {
		t.Fatal("something was deleted")
	}
	b.press("Delete all of these")
	b.press("Delete 8 keys")
	b.has(".toast", "Deleted 8 keys")
	b.has(".treebox", "There are no keys here")

	put(t, client, prefix+"one", "1")
	b.press("one")
	b.has("pre.value", "1")
	b.press("Delete…")
	b.press("Delete it")
	b.has("main", "does not exist")
}

func TestSignInAndOut(t *testing.T) {
	base, _ := serve(t, cluster)
	b := tabOf(t, base, desktop)
	b.expect("401")
	b.run(chromedp.Navigate(base))
	b.enter("input[name=token]", "wrong\r")
	b.has(".say", "the password or the token is wrong")
	b.enter("input[name=token]", secret+"\r")
	b.has("main", "3 of 3 members answer")
	b.press("Sign out")
	b.has("main", "Sign in")
	if strings.Contains(b.text("body"), "Healthy") {
		t.Error("what was seen is there still")
	}
	var cookies string
	b.js(`document.cookie`, &cookies)
	if cookies != "" {
		t.Errorf("scripts see the cookie %q", cookies)
	}
	b.run(chromedp.Navigate(base + "/?token=" + "the+token+of+the+tests"))
	b.has("main", "Healthy")
	var where string
	b.js(`location.href`, &where)
	if strings.Contains(where, "token") {
		t.Errorf("the token stays in the address: %s", where)
	}
}

func TestReadOnlyOffersNoChanges(t *testing.T) {
	base, client := serve(t, cluster, console.WithReadOnly())
	seed(t, client)
	b := open(t, base, desktop, keyPage("/config/motd"))
	b.has("pre.value", "Maintenance")
	for _, page := range []string{keyPage("/config/motd"), "services"} {
		b.visit(page)
		b.await("it is there", `!document.querySelector('main .wait')`)
		for _, text := range []string{"Edit", "Delete", "New key", "Drain", "Remove"} {
			if b.is(button(text)) {
				t.Errorf("%s offers %s", page, text)
			}
		}
	}
	b.has("#who", "read-only")
}
