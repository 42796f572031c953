// Package browser tests the console in a real browser, Chromium, which must be at /usr/bin/chromium
// or at the path in $CHROMIUM. Screenshots are left in out/. It is a module of its own, since only
// these tests need the browser's driver.
package browser
