// Package keys has the commands about keys, watches and leases.
package keys

import (
	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// Commands returns the commands about keys, watches and leases.
func Commands(a *command.App) []*cobra.Command {
	return []*cobra.Command{
		getCommand(a), putCommand(a), delCommand(a), txnCommand(a), watchCommand(a), compactionCommand(a),
		a.Family(
			"lease",
			"Grant, revoke, show and renew leases",
			leaseGrantCommand(
				a,
			),
			leaseRevokeCommand(a),
			leaseTimeToLiveCommand(a),
			leaseListCommand(a),
			leaseKeepAliveCommand(a),
		),
		historyCommand(a), exportCommand(a), importCommand(a), diffCommand(a),
	}
}
