package access

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/authpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func roleGetCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "get ROLE",
		Short:   "Show what a role may do",
		Example: "  fairlead role get auditor",
		Args:    command.OneArg("a role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.RoleGet(ctx, args[0])
				if err != nil {
					return err
				}
				p := a.Printer()
				return p.Print(resp, func() { printRolePlain(p, args[0], resp) }, func() ([]string, [][]string) {
					return roleHeader(), roleRows(args[0], resp)
				})
			})
		},
	}
}

func printRolePlain(p *command.Printer, name string, resp *clientv3.AuthRoleGetResponse) {
	fmt.Fprintf(p, "Role %s\n", name)
	list := func(title string, types ...authpb.Permission_Type) {
		fmt.Fprintln(p, title)
		for _, perm := range resp.Perm {
			for _, t := range types {
				if perm.PermType == t {
					fmt.Fprintf(p, "\t%s\n", keysText(string(perm.Key), string(perm.RangeEnd)))
				}
			}
		}
	}
	list("KV Read:", authpb.Permission_READ, authpb.Permission_READWRITE)
	list("KV Write:", authpb.Permission_WRITE, authpb.Permission_READWRITE)
}

// keysText describes the key or range of a permission.
func keysText(key, end string) string {
	text := rangeText(key, end)
	if end != "" && end != "\x00" && clientv3.GetPrefixRangeEnd(key) == end {
		text += fmt.Sprintf(" (prefix %s)", key)
	}
	return text
}

func rangeText(key, end string) string {
	switch end {
	case "":
		return key
	case "\x00":
		return fmt.Sprintf("[%s, <open ended>", key)
	}
	return fmt.Sprintf("[%s, %s)", key, end)
}

func roleHeader() []string { return []string{"ROLE", "PERMISSION", "KEYS"} }

func roleRows(name string, resp *clientv3.AuthRoleGetResponse) [][]string {
	if len(resp.Perm) == 0 {
		return [][]string{{name, "", ""}}
	}
	var rows [][]string
	for _, perm := range resp.Perm {
		rows = append(
			rows,
			[]string{
				name,
				strings.ToLower(perm.PermType.String()),
				command.Visible(keysText(string(perm.Key), string(perm.RangeEnd))),
			},
		)
	}
	return rows
}
