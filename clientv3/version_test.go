package clientv3

import "testing"

func TestBefore(t *testing.T) {
	for version, want := range map[string]bool{
		"3.5.7": true, "3.4.99": true, "2.9.9": true, "3.5": true, "3.5.8-rc.1": true, "": true, "v3.6.0": true,
		"3.5.8": false, "3.5.10": false, "3.6.0": false, "3.7.0-alpha.0": false, "3.10.1": false, "4.0.0": false,
	} {
		if got := before(version, orderedMinor, orderedPatch); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
	if before("3.4.0", oldestMinor, 0) || !before("3.3.27", oldestMinor, 0) {
		t.Error("the oldest version")
	}
}
