package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// checkVersion checks whether a module of this path can have a release of this version.
func checkVersion(path, version string) error {
	switch {
	case version == "":
		return errors.New("VERSION is missing: it is that of the root module, as in VERSION=v0.2.0")
	case semver.Canonical(version) != version || module.IsPseudoVersion(version):
		return fmt.Errorf("VERSION=%s is no version for a release: want vX.Y.Z or vX.Y.Z-rc.N", version)
	}
	_, major, _ := module.SplitPathVersion(path)
	if err := module.CheckPathMajor(version, major); err != nil {
		return fmt.Errorf("VERSION=%s: the path %s does not allow it: %w", version, path, err)
	}
	if minor, err := strconv.Atoi(strings.Split(version, ".")[1]); err != nil || minor >= minors {
		return fmt.Errorf("VERSION=%s: the minor version must be below %d", version, minors)
	}
	return nil
}

// minors is how many minor versions of the root module can exist for one major version.
const minors = 1000

// version returns a module's version in the release of this version of the root. A stand-in must
// keep the major version of the module that it stands for. For root version vX.Y.Z its minor
// version is 1000X+Y, and the rest is the same. So v0.4.1 gives v3.4.1 and v1.2.0 gives v3.1002.0,
// and a later release always has a higher version.
func (m *mod) version(root string) string {
	if m.major == "" {
		return root
	}
	x, rest, _ := strings.Cut(strings.TrimPrefix(root, "v"), ".")
	y, rest, _ := strings.Cut(rest, ".")
	major, _ := strconv.Atoi(x) // checkVersion has verified that these are numbers
	minor, _ := strconv.Atoi(y)
	return fmt.Sprintf("%s.%d.%s", m.major, minors*major+minor, rest)
}

// tag returns the name of the git tag that Go looks for.
func (m *mod) tag(root string) string {
	if m.dir == "." {
		return m.version(root)
	}
	return m.dir + "/" + m.version(root)
}
