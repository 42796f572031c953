package browser

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestUsersOfEtcd sign in with their passwords, and each sees and does what etcd permits.
func TestUsersOfEtcd(t *testing.T) {
	own := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, own.Endpoints()...)
	ctx := clienttest.Within(t, clienttest.Long)
	put(t, client, "shop/cart", "full")
	put(t, client, "bank/account", "secret")
	for _, do := range []func() error{
		func() error { _, err := client.UserAdd(ctx, "root", "r"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := client.RoleAdd(ctx, "shop"); return err },
		func() error {
			_, err := client.RoleGrantPermission(ctx, "shop", "shop/", clientv3.GetPrefixRangeEnd("shop/"),
				clientv3.PermissionType(clientv3.PermRead))
			return err
		},
		func() error { _, err := client.UserAdd(ctx, "ann", "a"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "ann", "shop"); return err },
		func() error { _, err := client.AuthEnable(ctx); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	url := withLogin(t, own, client)
	b := tabOf(t, url, desktop)
	b.expect("401")
	b.expect("403")
	b.run(chromedp.Navigate(url))
	b.enter("input[name=user]", "ann")
	b.enter("input[name=password]", "wrong\r")
	b.has(".say", "the password or the token is wrong")
	b.enter("input[name=password]", "a\r")
	b.has("#who", "ann")
	b.has("main", "Healthy")

	b.js(`location.hash = '#/keys'`, nil)
	b.has(".treebox .failure", "permission denied")
	b.enter("[data-search]", "shop/\r")
	b.press("cart")
	b.has("pre.value", "full")
	b.press("Edit")
	b.enter("textarea", "empty")
	b.press("Save")
	b.has(".say", "permission denied")
	b.press("Cancel")
	b.visit("access")
	b.has("main", "Authentication is on")
	b.await(
		"she sees herself and her role",
		`document.querySelectorAll('table')[0].innerText.includes('ann') && document.querySelectorAll('table')[1].innerText.includes('all keys that begin with shop/')`,
	)
	if b.is(`document.querySelector('main').innerText.includes('root')`) {
		t.Error("she sees root")
	}
	b.press("Sign out")
	b.enter("input[name=user]", "root")
	b.enter("input[name=password]", "r\r")
	b.has("#who", "root")
	b.visit("access")
	b.await("root sees both", `document.querySelectorAll('table')[0]?.querySelectorAll('tbody tr').length === 2`)
	b.shot("access-users")
}
