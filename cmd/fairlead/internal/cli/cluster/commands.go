// Package cluster has the commands about members and the cluster as a whole.
package cluster

import (
	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// Commands returns the commands about members and the cluster as a whole.
func Commands(a *command.App) []*cobra.Command {
	return []*cobra.Command{
		a.Family(
			"member",
			"Show and change the members",
			memberListCommand(
				a,
			),
			memberAddCommand(a),
			memberRemoveCommand(a),
			memberUpdateCommand(a),
			memberPromoteCommand(a),
		),
		endpointCommand(a),
		a.Family("alarm", "List and disarm alarms", alarmListCommand(a), alarmDisarmCommand(a)),
		defragCommand(a), moveLeaderCommand(a),
		a.Family(
			"check",
			"Put load on the cluster and judge how it copes",
			checkPerfCommand(a),
			checkDatascaleCommand(a),
		),
		a.Family("snapshot", "Save, show and restore snapshots",
			snapshotSaveCommand(a), snapshotStatusCommand(a), snapshotHashKVCommand(a), snapshotRestoreCommand(a)),
		makeMirrorCommand(a),
		a.Family("downgrade", "Prepare a downgrade of the cluster",
			downgradeValidateCommand(a), downgradeEnableCommand(a), downgradeCancelCommand(a)),
		doctorCommand(a), topCommand(a),
	}
}
