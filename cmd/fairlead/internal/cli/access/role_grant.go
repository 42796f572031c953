package access

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// permissionFlags choose the keys of a permission.
type permissionFlags struct{ prefix, fromKey bool }

func (f *permissionFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the key")
	fs.BoolVar(&f.fromKey, "from-key", false, "all keys that are equal to the key or after it")
}

// keys reads "KEY [RANGE_END]"; all keys are written as the range from the zero byte on.
func (f *permissionFlags) keys(args []string) (key, end string, err error) {
	switch {
	case f.prefix && f.fromKey:
		return "", "", command.Usage(errors.New("--prefix and --from-key exclude each other"))
	case len(args) == 2 && (f.prefix || f.fromKey):
		return "", "", command.Usage(errors.New("--prefix and --from-key take one key and no end of range"))
	case len(args) == 2:
		return args[0], args[1], nil
	case args[0] == "" && (f.prefix || f.fromKey):
		return "\x00", "\x00", nil
	case f.prefix:
		return args[0], clientv3.GetPrefixRangeEnd(args[0]), nil
	case f.fromKey:
		return args[0], "\x00", nil
	}
	return args[0], "", nil
}

func roleGrantCommand(a *command.App) *cobra.Command {
	var f permissionFlags
	c := &cobra.Command{
		Use:     "grant-permission ROLE read|write|readwrite KEY [RANGE_END]",
		Short:   "Let a role read or write keys",
		Example: "  fairlead role grant-permission auditor read orders/ --prefix",
		Args: command.BetweenArgs(
			3,
			4,
			"a role, a permission (read, write or readwrite), a key and perhaps an end of range",
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			permission, err := clientv3.StrToPermissionType(args[1])
			if err != nil {
				return command.Usage(fmt.Errorf("%q is no permission: have read, write, readwrite", args[1]))
			}
			key, end, err := f.keys(args[2:])
			if err != nil {
				return err
			}
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthRoleGrantPermissionResponse, error) {
					return c.RoleGrantPermission(ctx, args[0], key, end, permission)
				},
				func(*clientv3.AuthRoleGrantPermissionResponse) string {
					return fmt.Sprintf("Role %s updated", args[0])
				},
			)
		},
	}
	f.register(c.Flags())
	return c
}

func roleRevokeCommand(a *command.App) *cobra.Command {
	var f permissionFlags
	c := &cobra.Command{
		Use:     "revoke-permission ROLE KEY [RANGE_END]",
		Short:   "Take a permission from a role",
		Example: "  fairlead role revoke-permission auditor orders/ --prefix",
		Args:    command.BetweenArgs(2, 3, "a role, a key and perhaps an end of range"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, end, err := f.keys(args[1:])
			if err != nil {
				return err
			}
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthRoleRevokePermissionResponse, error) {
					return c.RoleRevokePermission(ctx, args[0], key, end)
				},
				func(*clientv3.AuthRoleRevokePermissionResponse) string {
					what := "key"
					if end != "" {
						what = "range"
					}
					return fmt.Sprintf(
						"Permission of %s %s is revoked from role %s",
						what,
						rangeText(args[1], end),
						args[0],
					)
				},
			)
		},
	}
	f.register(c.Flags())
	return c
}
