package discovery_test

import (
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
)

func TestNamedFormat(t *testing.T) {
	for _, name := range discovery.FormatNames() {
		for _, base := range []string{"there", "there/"} {
			f, prefix, err := discovery.NamedFormat(name, base)
			if err != nil || prefix != "there/" || !strings.HasPrefix(f.Prefix("orders"), "there/") {
				t.Errorf("%s at %q: %v, prefix %q, %v", name, base, f, prefix, err)
			}
		}
		f, prefix, err := discovery.NamedFormat(name, "")
		if err != nil || !strings.HasPrefix(f.Prefix("orders"), prefix) {
			t.Errorf("%s: %v, prefix %q, %v", name, f, prefix, err)
		}
	}
	if _, prefix, _ := discovery.NamedFormat("json", ""); prefix != discovery.DefaultBase {
		t.Errorf("the usual place is %q", prefix)
	}
	if _, _, err := discovery.NamedFormat("xml", ""); err == nil ||
		!strings.Contains(err.Error(), "gozero, json, kratos, naming, raw") {
		t.Errorf("%v", err)
	}
}
