package access

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func userAddCommand(a *command.App) *cobra.Command {
	var (
		interactive, noPassword bool
		password                string
	)
	c := &cobra.Command{
		Use:   "add USER[:PASSWORD]",
		Short: "Add a user",
		Example: "  fairlead user add alice\n  fairlead user add alice --interactive=false < password.txt\n  " +
			"fairlead " +
			"user add backup --no-password",
		Long: `Add a user. If no password is given, after the name or as --new-user-password, the command asks for
it twice. Without a terminal it reads the password from two lines of standard input, with
--interactive=false from one.`,
		Args: command.OneArg("a user's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, given, ok := strings.Cut(args[0], ":")
			switch {
			case name == "":
				return command.Usage(errors.New("the user's name is empty"))
			case noPassword && (ok || password != ""):
				return command.Usage(errors.New("--no-password and a password exclude each other"))
			case ok && password != "":
				return command.Usage(errors.New("the password is given twice"))
			case ok:
				password = given
			}
			if password == "" && !noPassword {
				var err error
				if password, err = a.NewPassword(cmd.Context(), name, interactive); err != nil {
					return err
				}
			}
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthUserAddResponse, error) {
					return c.UserAddWithOptions(ctx, name, password, &clientv3.UserAddOptions{NoPassword: noPassword})
				},
				func(*clientv3.AuthUserAddResponse) string { return fmt.Sprintf("User %s created", name) },
			)
		},
	}
	fs := c.Flags()
	fs.BoolVar(&interactive, "interactive", true, "ask for the password twice; false: take one line of standard input")
	fs.StringVar(&password, "new-user-password", "", "the password")
	fs.BoolVar(&noPassword, "no-password", false, "a user who authenticates by a client certificate only")
	return c
}

func userPasswdCommand(a *command.App) *cobra.Command {
	var interactive bool
	c := &cobra.Command{
		Use:     "passwd USER",
		Short:   "Change a user's password",
		Example: "  fairlead user passwd alice",
		Args:    command.OneArg("a user's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := a.NewPassword(cmd.Context(), args[0], interactive)
			if err != nil {
				return err
			}
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthUserChangePasswordResponse, error) {
					return c.UserChangePassword(ctx, args[0], password)
				},
				func(*clientv3.AuthUserChangePasswordResponse) string { return "Password updated" },
			)
		},
	}
	c.Flags().
		BoolVar(&interactive, "interactive", true, "ask for the password twice; false: take one line of standard input")
	return c
}
