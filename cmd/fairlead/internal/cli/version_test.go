package cli

import (
	"os"
	"regexp"
	"runtime/debug"
	"testing"
)

func TestVersionOfWhatWasBuilt(t *testing.T) {
	built := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for name, c := range map[string]struct {
		info *debug.BuildInfo
		want string
	}{
		"nothing known":   {nil, release},
		"archive":         {built("(devel)"), release},
		"release":         {built("v1.2.3", commit), "1.2.3"},
		"pre-release":     {built("v1.2.3-rc.1"), "1.2.3-rc.1"},
		"checkout":        {built("v0.0.0-20261129103552-0123456789ab", commit), release + " (commit 0123456789ab)"},
		"after a release": {built("v1.2.4-0.20261129103552-0123456789ab", commit), release + " (commit 0123456789ab)"},
		"edited checkout": {built("v1.2.3+dirty", commit, modified), release + " (commit 0123456789ab, modified)"},
	} {
		if got := ownVersion(c.info); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestVersionIsOfTheChangelog: make release requires a heading for its version, so the constant is
// right in a release.
func TestVersionIsOfTheChangelog(t *testing.T) {
	text, err := os.ReadFile("../../../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	newest := regexp.MustCompile(`(?m)^## (\d\S*)`).FindSubmatch(text)
	if newest == nil || string(newest[1]) != release {
		t.Errorf("the newest version of the changelog is %q, and the program says %s", newest, release)
	}
}
