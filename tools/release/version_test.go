package main

import "testing"

func TestVersions(t *testing.T) {
	for version, says := range map[string]string{
		"": "VERSION is missing", "0.2.0": "no version for a release", "v0.2": "no version for a release",
		"v0.2.0+meta": "no version for a release",
		"vx":          "no version for a release", "v0.0.0-20260817212433-ac3dfec99bb1": "no version for a release",
		"v0.2.0 ": "no version for a release",
		"v2.0.0":  "the path github.com/example/small does not allow it", "v0.1000.0": "must be below 1000",
		"v0.99999999999999999999.0": "must be below 1000",
	} {
		wantError(t, checkVersion("github.com/example/small", version), says)
	}
	root, kit, standIn := &mod{dir: "."}, &mod{dir: "a/kit"}, &mod{dir: "standin", major: "v3"}
	for version, want := range map[string][3]string{
		"v0.1.0":      {"v0.1.0", "a/kit/v0.1.0", "standin/v3.1.0"},
		"v0.12.3":     {"v0.12.3", "a/kit/v0.12.3", "standin/v3.12.3"},
		"v0.2.0-rc.1": {"v0.2.0-rc.1", "a/kit/v0.2.0-rc.1", "standin/v3.2.0-rc.1"},
		"v1.4.0":      {"v1.4.0", "a/kit/v1.4.0", "standin/v3.1004.0"},
	} {
		if err := checkVersion("github.com/example/small", version); err != nil {
			t.Error(err)
		}
		if got := [3]string{root.tag(version), kit.tag(version), standIn.tag(version)}; got != want {
			t.Errorf("%s: tags %v, want %v", version, got, want)
		}
	}
}
