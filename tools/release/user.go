package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// user is somebody who has Go and nothing of ours: an empty module cache, no workspace, and the
// proxy of a stage before the proxies that Go asks on this machine.
type user struct {
	stage *stage
	dir   string
	env   []string
}

// goEnv are the settings of Go on this machine that matter to a user.
type goEnv struct{ GOPROXY, GOSUMDB, GONOSUMDB, GOTOOLCHAIN, GOMODCACHE string }

// newUser makes a user who works below dir. With seeded, the modules of others come from this
// machine's module cache if it has them, which saves the time to download them. They are still
// checked against the checksum database.
func newUser(ctx context.Context, s *stage, dir string, seeded bool) (*user, error) {
	out, err := output(exec.CommandContext(ctx, "go", "env", "-json"))
	if err != nil {
		return nil, err
	}
	var machine goEnv
	if err := json.Unmarshal([]byte(out), &machine); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	proxies := []string{"file://" + filepath.ToSlash(s.proxy)}
	if seeded {
		proxies = append(proxies, "file://"+filepath.ToSlash(filepath.Join(machine.GOMODCACHE, "cache", "download")))
	}
	// Go must not ask a checksum database for modules that are not published yet. GOPRIVATE and
	// GONOPROXY must be empty, and therefore GOENV off: with either set, Go looks into the module
	// cache before it asks the proxies for the longest path, and finds our root module there.
	unknown := strings.Trim(machine.GONOSUMDB+","+s.prefix, ",")
	u := &user{stage: s, dir: dir, env: append(
		os.Environ(),
		"GOENV=off",
		"GOWORK=off",
		"GOPRIVATE=",
		"GONOPROXY=",
		"GOPROXY="+strings.Join(
			append(proxies, machine.GOPROXY),
			",",
		),
		"GONOSUMDB="+unknown,
		"GOSUMDB="+machine.GOSUMDB,
		"GOTOOLCHAIN="+machine.GOTOOLCHAIN,
		"GOMODCACHE="+filepath.Join(dir, "modules"),
		"GOBIN="+filepath.Join(dir, "bin"),
		// With -trimpath the build cache does not depend on the directories of the module cache,
		// which are new each time.
		"GOFLAGS=-modcacherw -trimpath",
	)}
	return u, os.MkdirAll(dir, 0o755)
}

func (u *user) run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, u.env
	return output(cmd)
}

// install installs the program of a module and returns where it is.
func (u *user) install(ctx context.Context, m *mod) (string, error) {
	if _, err := u.run(ctx, u.dir, "go", "install", m.path+"@"+m.version(u.stage.version)); err != nil {
		return "", err
	}
	program := filepath.Join(u.dir, "bin", filepath.Base(m.path))
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "", err
	}
	if want := m.version(u.stage.version); info.Main.Path != m.path || info.Main.Version != want {
		return "", fmt.Errorf("%s is %s %s, want %s %s", program, info.Main.Path, info.Main.Version, m.path, want)
	}
	return program, u.built(info, m)
}

// official is the release that a program required before a replace put a stand-in in its place.
const official = "v3.7.3"

// build makes a program that uses a module, from the files of a directory, and returns where it is.
func (u *user) build(ctx context.Context, m *mod, source string) (string, error) {
	dir := filepath.Join(u.dir, "programs", filepath.FromSlash(m.dir))
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		return "", err
	}
	version := m.version(u.stage.version)
	steps := [][]string{{"mod", "init", "example.com/program"}}
	if declared := m.file.Module.Mod.Path; declared != m.path {
		steps = append(
			steps,
			[]string{
				"mod",
				"edit",
				"-require=" + declared + "@" + official,
				"-replace=" + declared + "=" + m.path + "@" + version,
			},
		)
	} else {
		steps = append(steps, []string{"get", m.path + "@" + version})
	}
	for _, args := range append(steps, []string{"mod", "tidy"}, []string{"build", "-o", "program", "."}) {
		if _, err := u.run(ctx, dir, "go", args...); err != nil {
			return "", err
		}
	}
	program := filepath.Join(dir, "program")
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "", err
	}
	return program, u.built(info, m)
}

// built checks that a program was built from the packed modules, m among them, and that nothing is
// replaced except the module that m stands in for.
func (u *user) built(info *buildinfo.BuildInfo, m *mod) error {
	seen := info.Main.Path == m.path
	for _, dep := range info.Deps {
		if dep.Replace != nil && dep.Path == m.file.Module.Mod.Path {
			dep = dep.Replace
		}
		if dep.Replace != nil {
			return fmt.Errorf("%s is replaced by %s", dep.Path, dep.Replace.Path)
		}
		if other := u.stage.byPath(dep.Path); other != nil {
			seen = seen || other == m
			if !u.stage.has(dep.Path, dep.Version, dep.Sum) {
				return fmt.Errorf("built with %s %s %s, which was not packed", dep.Path, dep.Version, dep.Sum)
			}
		}
	}
	if !seen {
		return fmt.Errorf("built without %s", m.path)
	}
	return nil
}

// has reports whether this module was packed.
func (s *stage) has(path, version, hash string) bool {
	for _, p := range s.packed {
		if p.of.Path == path && p.of.Version == version {
			return p.sums[0].hash == hash
		}
	}
	return false
}

// checkout checks that the module of a checkout of this release is tidy, and that all of it
// builds.
func (u *user) checkout(ctx context.Context, m *mod) error {
	dir := u.stage.file(m.dir)
	if _, err := u.run(ctx, dir, "go", "mod", "tidy", "-diff"); err != nil {
		return err
	}
	_, err := u.run(ctx, dir, "go", "build", "-o", os.DevNull, "./...")
	return err
}
