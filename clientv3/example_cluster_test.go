package clientv3_test

import "fmt"

func ExampleCluster() {
	cli, ctx, done := exampleClient()
	defer done()

	resp := must(cli.MemberList(ctx))
	for _, m := range resp.Members {
		fmt.Println(m.Name, "learner:", m.IsLearner, "client URLs:", len(m.ClientURLs))
	}
	// From now on the client knows every member.
	if err := cli.Sync(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println("members known:", len(cli.MemberStates()))
	// Output:
	// m0 learner: false client URLs: 1
	// members known: 1
}
