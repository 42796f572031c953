package services

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/child"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

// checkers makes one check of all --check flags; nil if there are none.
func (f *runFlags) checkers() (discovery.Check, error) {
	if f.every <= 0 {
		return nil, command.Usage(errors.New("--check-every must be positive"))
	}
	var all []discovery.Check
	for _, text := range f.checks {
		c, err := parseCheck(text)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return allChecks(all), nil
}

func parseCheck(text string) (discovery.Check, error) {
	if command, ok := strings.CutPrefix(text, "command:"); ok && command != "" {
		return commandCheck(command), nil
	}
	scheme, rest, _ := strings.Cut(text, "://")
	switch {
	case rest == "":
	case scheme == "http", scheme == "https":
		return discovery.HTTPCheck(text), nil
	case scheme == "tcp":
		return discovery.TCPCheck(rest), nil
	case scheme == "grpc":
		address, service, _ := strings.Cut(rest, "/")
		return discovery.GRPCCheck(address, service), nil
	}
	return nil, command.Usage(
		fmt.Errorf("--check %q begins with none of http://, https://, tcp://, grpc:// and command: as it must", text),
	)
}

// allChecks makes all checks at once, each within the whole time. It returns the error of the first
// check that fails, in the given order.
func allChecks(all []discovery.Check) discovery.Check {
	return func(ctx context.Context) error {
		errs := make([]error, len(all))
		var wg sync.WaitGroup
		for i, c := range all {
			wg.Go(func() { errs[i] = c(ctx) })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// commandCheck has a shell run a command, which must exit with status 0. If the time is over, it
// kills the command and its children.
func commandCheck(command string) discovery.Check {
	return func(ctx context.Context) error {
		p, err := child.Start(child.Spec{Args: []string{"sh", "-c", command}, Background: true})
		if err != nil {
			return err
		}
		select {
		case <-p.Done():
			if status := p.Status(); status != 0 {
				return fmt.Errorf("%s ends with status %d", command, status)
			}
			return nil
		case <-ctx.Done():
			p.End(syscall.SIGKILL, 0)
			return fmt.Errorf("%s does not end: %w", command, context.Cause(ctx))
		}
	}
}
