package command

import (
	"fmt"

	"github.com/spf13/cobra"
)

// NArgs accepts one argument for each name.
func NArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		want := ""
		for i, n := range names {
			if i > 0 {
				want += " and "
			}
			want += n
		}
		return UsageError{fmt.Errorf("%s needs %s, got %d arguments", cmd.CommandPath(), want, len(args))}
	}
}

// OneArg accepts one argument.
func OneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return UsageError{fmt.Errorf("%s needs %s and nothing else", cmd.CommandPath(), what)}
		}
		return nil
	}
}

// NoArgs accepts no arguments.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return UsageError{fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args)}
	}
	return nil
}

// BetweenArgs accepts least to most arguments; what names them.
func BetweenArgs(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return UsageError{fmt.Errorf("%s needs %s", cmd.CommandPath(), what)}
		}
		return nil
	}
}
