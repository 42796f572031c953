package nameserver

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/discovery"
)

func TestLabel(t *testing.T) {
	for in, want := range map[string]string{
		"orders": "orders", "a_b-c": "a_b-c", "OrderService": "x---4frder-53ervice", "a.b": "x--a-2eb",
		"x--a": "x--x-2d-2da", "ü": "x---c3-bc",
		strings.Repeat("a", 63): strings.Repeat("a", 63),
	} {
		got, ok := Label(in)
		if !ok || got != want {
			t.Errorf("Label(%q) = %q, %v; want %q", in, got, ok, want)
		}
		if back, ok := name(strings.ToUpper(got)); !ok || back != in {
			t.Errorf("name(%q) = %q, %v; want %q", got, back, ok, in)
		}
	}
	for _, in := range []string{"", strings.Repeat("a", 64), strings.Repeat("A", 21)} {
		if got, ok := Label(in); ok {
			t.Errorf("Label(%q) = %q", in, got)
		}
	}
	for _, l := range []string{"x--", "x--a-", "x--a-2", "x---zz", "x--ä"} {
		if got, ok := name(l); ok {
			t.Errorf("name(%q) = %q", l, got)
		}
	}
}

func TestAddressLabel(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1": "ip-10-0-0-1", "::": "ip-0-0-0-0-0-0-0-0", "::1": "ip-0-0-0-0-0-0-0-1",
		"2001:db8::a00:1":                         "ip-2001-db8-0-0-0-0-a00-1",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "ip-ffff-ffff-ffff-ffff-ffff-ffff-ffff-ffff",
	} {
		a := netip.MustParseAddr(in)
		if got := addressLabel(a); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
		if back, ok := labelAddress(strings.ToUpper(want)); !ok || back != a {
			t.Errorf("%s: %v, want %s", want, back, in)
		}
	}
	for _, l := range []string{
		"ip-", "ip-1-2-3", "ip-1-2-3-4-5", "ip-01-2-3-4", "ip-0-0-0-0-0-0-0-01", "10-0-0-1", "ip-0-0-0-0-0-0-0-1%x",
	} {
		if a, ok := labelAddress(l); ok {
			t.Errorf("%s: %v", l, a)
		}
	}
}

func TestTexts(t *testing.T) {
	long := strings.Repeat("0123456789", 60)
	got := texts(&discovery.Instance{
		ID: `i\d`, Version: "v", Zone: "z", Tags: []string{"a", "b"},
		Metadata: map[string]string{
			"":        "nothing",
			" k=`":    "v=w",
			"long":    long,
			"exact":   strings.Repeat("x", 255-len("exact=")),
			"version": "theirs",
			"bytes":   "\x00\"\xff",
		},
	})
	want := []string{
		`id=i\\d`, "version=v", "zone=z", "tags=a,b",
		"` k`=``=v=w", "bytes=\x00\"\xff", "exact=" + strings.Repeat("x", 249), "", "long=" + long[:250], long[250:505],
		long[505:], "version=theirs",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// Texts come through the wire unchanged.
func TestTextsOnTheWire(t *testing.T) {
	in := discovery.Instance{Service: "s", ID: "a", Addresses: []string{"h:1"}, Metadata: map[string]string{
		"k": strings.Repeat(`\`, 600), "b": "\x00\x7f\"\\001;ü", "e": "",
	}}
	s := newServer(t, newFake(in), Options{})
	a := ask(t, s, query("s", dns.TypeTXT), dns.MaxMsgSize)
	var got []string
	for _, text := range a.Answer[0].(*dns.TXT).Txt {
		got = append(got, unescape(text))
	}
	k := "k=" + in.Metadata["k"]
	if want := []string{"id=a", "b=" + in.Metadata["b"], "e=", k[:255], k[255:510], k[510:]}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
