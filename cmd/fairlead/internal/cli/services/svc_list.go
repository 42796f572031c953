package services

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

func svcListCommand(a *command.App, records *recordFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "ls [SERVICE]",
		Short:   "List services, or the instances of one",
		Example: "  fairlead svc ls\n  fairlead svc ls payments",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return command.Usage(fmt.Errorf("%s takes one service", cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			format, base, err := records.records()
			if err != nil {
				return err
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if len(args) == 0 {
					return listServices(ctx, a, c, format, base)
				}
				view, err := view(ctx, a, c, format, args[0])
				if err != nil {
					return err
				}
				control, err := shownControl(ctx, c, args[0])
				if err != nil {
					return err
				}
				return printInstances(a, view.Instances(), &control)
			})
		},
	}
}

// shownControl returns the operators' overrides for a service. Without the permission to read them,
// it returns none. An invalid record is reported with the view, and is not in force.
func shownControl(ctx context.Context, c *clientv3.Client, service string) (discovery.Control, error) {
	control, err := discovery.ReadControl(ctx, c, service)
	if clientv3.Code(err) == codes.PermissionDenied || errors.Is(err, discovery.ErrInvalid) {
		err = nil
	}
	return control, err
}

// view returns the present view of a service, and reports bad records on standard error. A user who
// may not read the records gets the error at once, while a Directory would retry.
func view(
	ctx context.Context,
	a *command.App,
	c *clientv3.Client,
	format discovery.Format,
	service string,
) (*discovery.View, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := discovery.NewDirectory(
		c,
		discovery.WithFormat(format),
		discovery.WithLog(nil),
		discovery.WithProblems(func(p discovery.Problem) {
			if p.Key == "" && clientv3.Code(p.Err) == codes.PermissionDenied {
				cancel(p.Err)
				return
			}
			sayProblem(a, p)
		}),
	)
	defer d.Close()
	s, err := d.Subscribe(service)
	if err != nil {
		return nil, command.Usage(err)
	}
	defer s.Close()
	change, err := s.Next(ctx)
	if err != nil {
		if cause := context.Cause(ctx); clientv3.Code(cause) == codes.PermissionDenied {
			err = cause
		}
		return nil, err
	}
	return change.View, nil
}

func directory(
	a *command.App,
	c *clientv3.Client,
	format discovery.Format,
	opts ...discovery.DirectoryOption,
) *discovery.Directory {
	return discovery.NewDirectory(
		c,
		append(
			opts,
			discovery.WithFormat(format),
			discovery.WithLog(nil),
			discovery.WithProblems(func(p discovery.Problem) { sayProblem(a, p) }),
		)...)
}

func sayProblem(a *command.App, p discovery.Problem) {
	what := p.Key
	if what == "" {
		what = "service " + p.Service
	}
	fmt.Fprintf(a.Env.Stderr, "%s: %v\n", what, p.Err)
}

// serviceCount is a service in a list. Bad records do not count as instances, as in views.
type serviceCount struct {
	Service   string `json:"service"`
	Instances int    `json:"instances"`
	Bad       int    `json:"bad,omitempty"` // records that make no sense
}

func listServices(ctx context.Context, a *command.App, c *clientv3.Client, format discovery.Format, base string) error {
	r, err := c.Get(ctx, base, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	_, escaped := format.(discovery.JSON)
	list := []serviceCount{}
	for _, kv := range r.Kvs {
		rest := string(kv.Key)[len(base):]
		i := strings.LastIndex(rest, "/")
		if i <= 0 {
			continue
		}
		name := rest[:i]
		if escaped {
			if name, err = url.PathUnescape(name); err != nil {
				continue
			}
		}
		_, bad := format.Unmarshal(name, string(kv.Key), kv.Value)
		if errors.Is(bad, discovery.ErrNotInstance) {
			continue
		}
		if n := len(list); n == 0 || list[n-1].Service != name {
			list = append(list, serviceCount{Service: name})
		}
		s := &list[len(list)-1]
		if bad == nil {
			s.Instances++
			continue
		}
		s.Bad++
		fmt.Fprintf(a.Env.Stderr, "%s: %v\n", command.Visible(string(kv.Key)), bad)
	}
	p := a.Printer()
	return p.Print(list, func() {
		for _, s := range list {
			fmt.Fprintf(p, "%s %d\n", command.Visible(s.Service), s.Instances)
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, s := range list {
			rows = append(rows, []string{command.Visible(s.Service), fmt.Sprint(s.Instances)})
		}
		return []string{"SERVICE", "INSTANCES"}, rows
	})
}

// listed is an instance in a list, as its followers see it.
type listed struct {
	*discovery.Instance
	Override *discovery.Override `json:"override,omitempty"` // the values that override the instance's own
	// Split has the parts of the service's split that match the instance; nil if there is no split.
	Split *discovery.Split `json:"split,omitempty"`
}

// listedAs returns an instance with its overrides.
func listedAs(in *discovery.Instance, control *discovery.Control) listed {
	l := listed{Instance: in}
	if o, ok := control.Instances[in.ID]; ok {
		l.Override = &o
	}
	if len(control.Split) > 0 {
		own := make(discovery.Split)
		for f, percent := range control.Split {
			if f.Matches(in) {
				own[f] = percent
			}
		}
		l.Split = &own
	}
	return l
}

func printInstances(a *command.App, instances []*discovery.Instance, control *discovery.Control) error {
	list := []listed{}
	for _, in := range instances {
		list = append(list, listedAs(in, control))
	}
	slices.SortFunc(list, func(x, y listed) int { return strings.Compare(x.ID, y.ID) })
	p := a.Printer()
	return p.Print(list, func() {
		for _, in := range list {
			fmt.Fprintf(
				p,
				"%s %s %s",
				command.Visible(in.ID),
				command.Visible(address(in.Instance)),
				state(in.Instance),
			)
			if words := overridden(control, in.Instance); words != "" {
				fmt.Fprintf(p, " %s", words)
			}
			fmt.Fprintln(p)
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, in := range list {
			rows = append(
				rows,
				[]string{
					command.Visible(in.ID),
					command.Visible(address(in.Instance)),
					state(in.Instance),
					command.Visible(in.Version),
					command.Visible(in.Zone),
					fmt.Sprint(in.EffectiveWeight()),
					command.Visible(strings.Join(in.Tags, ",")),
					overridden(control, in.Instance),
				},
			)
		}
		return []string{"ID", "ADDRESS", "STATE", "VERSION", "ZONE", "WEIGHT", "TAGS", "OVERRIDE"}, rows
	})
}
