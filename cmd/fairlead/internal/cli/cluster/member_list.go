package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func memberListCommand(a *command.App) *cobra.Command {
	var consistency string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the members",
		Example: "  fairlead member list -w table",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var opts []clientv3.OpOption
			switch consistency {
			case "l":
			case "s":
				opts = append(opts, clientv3.WithSerializable())
			default:
				return command.Usage(fmt.Errorf("--consistency is l or s, not %q", consistency))
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.MemberList(ctx, opts...)
				if err != nil {
					return err
				}
				return printMemberList(a.Printer(), resp)
			})
		},
	}
	c.Flags().StringVar(&consistency, "consistency", "l", "l (linearizable) or s (serializable: one member's view)")
	return c
}

func printMemberList(p *command.Printer, resp *clientv3.MemberListResponse) error {
	v := command.View{Message: resp, JSON: resp}
	if p.Hex {
		v.JSON = hexMemberList(resp)
	}
	row := func(m *pb.Member) []string {
		state := "started"
		if m.Name == "" {
			state = "unstarted" // added, but it has not started and reported its name yet
		}
		return []string{
			command.IdText(
				m.ID,
			), state, m.Name, strings.Join(m.PeerURLs, ","), strings.Join(m.ClientURLs, ","), fmt.Sprint(m.IsLearner),
		}
	}
	return p.Print(v, func() {
		for _, m := range resp.Members {
			fmt.Fprintln(p, strings.Join(row(m), ", "))
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, m := range resp.Members {
			rows = append(rows, row(m))
		}
		return []string{"ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"}, rows
	})
}

// hexMemberList writes ids as people compare them. Besides, many readers of JSON lose the last
// digits of large numbers.
func hexMemberList(resp *clientv3.MemberListResponse) any {
	type header struct {
		ClusterID string `json:"cluster_id"`
		MemberID  string `json:"member_id"`
		Revision  int64  `json:"revision,omitempty"`
		RaftTerm  uint64 `json:"raft_term,omitempty"`
	}
	type member struct {
		ID         string   `json:"ID"`
		Name       string   `json:"name,omitempty"`
		PeerURLs   []string `json:"peerURLs,omitempty"`
		ClientURLs []string `json:"clientURLs,omitempty"`
		IsLearner  bool     `json:"isLearner,omitempty"`
	}
	h := resp.Header
	list := struct {
		Header  header   `json:"header"`
		Members []member `json:"members"`
	}{Header: header{command.IdText(h.ClusterId), command.IdText(h.MemberId), h.Revision, h.RaftTerm}}
	for _, m := range resp.Members {
		list.Members = append(list.Members, member{command.IdText(m.ID), m.Name, m.PeerURLs, m.ClientURLs, m.IsLearner})
	}
	return list
}
