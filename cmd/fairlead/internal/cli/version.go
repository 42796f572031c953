package cli

import (
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/version"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// release is the newest version that has a heading in CHANGELOG.md. A build from a checkout prints
// it, since Go knows the version only of installed modules.
const release = "0.1.0"

func versionCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  fairlead version",
		Args:    command.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintf(a.Env.Stdout, "fairlead %s\netcd API %s\n", ownVersion(info), version.Version)
			return err
		},
	}
}

// tagged matches versions of tags, but not those that Go makes up for other commits.
var tagged = regexp.MustCompile(`^v\d+\.\d+\.\d+(-rc\.\d+)?$`)

// ownVersion returns the installed version, or else the newest release with the commit of the
// build. The information may be nil.
func ownVersion(info *debug.BuildInfo) string {
	if info == nil {
		return release
	}
	if tagged.MatchString(info.Main.Version) {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	settings := make(map[string]string, len(info.Settings))
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	commit := settings["vcs.revision"]
	if commit == "" {
		return release
	}
	commit = commit[:min(12, len(commit))]
	if settings["vcs.modified"] == "true" {
		commit += ", modified"
	}
	return fmt.Sprintf("%s (commit %s)", release, commit)
}
