package console

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPrefixOf(t *testing.T) {
	long := strings.Repeat("x", 2*heatBytes)
	for key, want := range map[string]string{
		"":                     "",
		"flat":                 "",
		"/flat":                "/",
		"users/1":              "users/",
		"users/1/name":         "users/1/",
		"/orders/eu/17/items":  "/orders/eu/",
		"//a/b":                "//a/", // an empty part counts as one
		"\xff/\x00/k":          "\xff/\x00/",
		long + "/a":            "",
		"a/" + long:            "a/",
		"/tenants/acme/carts/": "/tenants/acme/",
	} {
		if got := prefixOf([]byte(key)); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}

// TestHeat: rates of the last minute, in bounded memory for any keys.
func TestHeat(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_000)
	h := heat{since: at}
	for second := range 120 {
		now := at.Add(time.Duration(second) * time.Second)
		for range 10 {
			h.add(now, []byte("hot/a/k"))
		}
		h.add(now, []byte("cold/k"))
	}
	r := h.report(at.Add(120 * time.Second))
	if len(r.Prefixes) != 2 || string(r.Prefixes[0].Prefix) != "hot/a/" || r.Prefixes[0].Rate < 9 ||
		r.Prefixes[0].Rate > 11 ||
		r.Seconds < 50 || r.Seconds > 60 || r.Others != 0 || r.Rate < 10 || r.Rate > 12 {
		t.Errorf("%+v", r)
	}
	if r := h.report(at.Add(time.Hour)); len(r.Prefixes) != 0 || r.Rate != 0 {
		t.Errorf("an hour later: %+v", r)
	}
	now := at.Add(2 * time.Hour)
	for i := range 5 * heatPrefixes {
		h.add(now, fmt.Appendf(nil, "p%d/k", i))
	}
	r = h.report(now.Add(time.Second))
	if len(r.Prefixes) != prefixesShown ||
		len(h.ring[now.UnixMilli()/heatStep.Milliseconds()%heatBuckets].counts) != heatPrefixes ||
		r.Others*5 < 3.9*r.Rate || r.Others*5 > 4.1*r.Rate {
		t.Errorf("%+v", r)
	}
}
