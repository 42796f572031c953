// Package browser tests the console in a real browser, Chromium, which must be there as
// /usr/bin/chromium or as $CHROMIUM names it. Screenshots are left in out/. It is a module of its
// own, since only these tests need what drives the browser.
package browser
