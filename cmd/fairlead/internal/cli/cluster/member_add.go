package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func memberAddCommand(a *command.App) *cobra.Command {
	var (
		learner  bool
		peerURLs string
	)
	c := &cobra.Command{
		Use:     "add NAME --peer-urls URL[,URL]",
		Short:   "Add a member, which you then start",
		Example: "  fairlead member add m4 --peer-urls http://10.0.0.4:2380 --learner",
		Long: `Add a member. Then start it with the settings that the command prints. Until it runs it counts as a
voter that is down, so add it as a learner and promote it later.`,
		Args: command.OneArg("a name for the member"),
		RunE: func(cmd *cobra.Command, args []string) error {
			urls, err := peers(peerURLs)
			if err != nil {
				return err
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				add := c.MemberAdd
				if learner {
					add = c.MemberAddAsLearner
				}
				resp, err := add(ctx, urls)
				if err != nil {
					return err
				}
				return printMemberAdd(a.Printer(), resp, args[0])
			})
		},
	}
	fs := c.Flags()
	fs.StringVar(&peerURLs, "peer-urls", "", "where the other members reach it, separated by commas")
	fs.BoolVar(&learner, "learner", false, "add it without a vote: it receives all data, and votes once it is promoted")
	return c
}

func peers(urls string) ([]string, error) {
	if urls == "" {
		return nil, command.Usage(errors.New("--peer-urls is needed"))
	}
	return strings.Split(urls, ","), nil
}

func printMemberAdd(p *command.Printer, resp *clientv3.MemberAddResponse, name string) error {
	settings := [][2]string{
		{"ETCD_NAME", name},
		{"ETCD_INITIAL_CLUSTER", initialCluster(resp, name)},
		{"ETCD_INITIAL_ADVERTISE_PEER_URLS", strings.Join(resp.Member.PeerURLs, ",")},
		{"ETCD_INITIAL_CLUSTER_STATE", "existing"},
	}
	return p.Print(resp, func() {
		kind := ""
		if resp.Member.IsLearner {
			kind = "as learner "
		}
		fmt.Fprintf(p, "Member %16x added %sto cluster %16x\n\n", resp.Member.ID, kind, resp.Header.ClusterId)
		for _, s := range settings {
			fmt.Fprintf(p, "%s=%q\n", s[0], s[1])
		}
	}, func() ([]string, [][]string) {
		rows := [][]string{{"ID", command.IdText(resp.Member.ID)}}
		for _, s := range settings {
			rows = append(rows, []string{s[0], s[1]})
		}
		return []string{"SETTING", "VALUE"}, rows
	})
}

// initialCluster lists the members in the form that the new member needs, with the new one's name.
func initialCluster(resp *clientv3.MemberAddResponse, name string) string {
	var all []string
	for _, m := range resp.Members {
		n := m.Name
		if m.ID == resp.Member.ID {
			n = name
		}
		for _, u := range m.PeerURLs {
			all = append(all, n+"="+u)
		}
	}
	return strings.Join(all, ",")
}
