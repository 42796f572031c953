package access

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func userGetCommand(a *command.App) *cobra.Command {
	var detail bool
	c := &cobra.Command{
		Use:     "get USER",
		Short:   "Show the roles of a user",
		Example: "  fairlead user get alice --detail",
		Args:    command.OneArg("a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if detail {
				if err := a.NeedsNoMessage(); err != nil {
					return err
				}
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.UserGet(ctx, args[0])
				if err != nil {
					return err
				}
				if detail {
					return userDetail(ctx, a, c, args[0], resp.Roles)
				}
				p := a.Printer()
				return p.Print(resp, func() {
					fmt.Fprintf(p, "User: %s\nRoles:", args[0])
					for _, r := range resp.Roles {
						fmt.Fprintf(p, " %s", r)
					}
					fmt.Fprintln(p)
				}, func() ([]string, [][]string) {
					return []string{"USER", "ROLES"}, [][]string{{args[0], strings.Join(resp.Roles, " ")}}
				})
			})
		},
	}
	c.Flags().BoolVar(&detail, "detail", false, "also what the roles may do")
	return c
}

// userDetail prints a user's roles with their permissions.
func userDetail(ctx context.Context, a *command.App, c *clientv3.Client, user string, names []string) error {
	type role struct {
		Name        string                        `json:"name"`
		Permissions *clientv3.AuthRoleGetResponse `json:"permissions"`
	}
	all := struct {
		User  string `json:"user"`
		Roles []role `json:"roles"`
	}{User: user}
	for _, n := range names {
		resp, err := c.RoleGet(ctx, n)
		if err != nil {
			return err
		}
		all.Roles = append(all.Roles, role{n, resp})
	}
	p := a.Printer()
	return p.Print(all, func() {
		fmt.Fprintf(p, "User: %s\n", user)
		for _, r := range all.Roles {
			fmt.Fprintln(p)
			printRolePlain(p, r.Name, r.Permissions)
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, r := range all.Roles {
			rows = append(rows, roleRows(r.Name, r.Permissions)...)
		}
		return roleHeader(), rows
	})
}
