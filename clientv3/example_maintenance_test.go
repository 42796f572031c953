package clientv3_test

import (
	"fmt"
	"io"
)

func ExampleMaintenance() {
	cli, ctx, done := exampleClient()
	defer done()

	for _, ep := range cli.Endpoints() {
		s := must(cli.Status(ctx, ep))
		fmt.Println("leads:", s.Leader == s.Header.MemberId)
		must(cli.Defragment(ctx, ep))
	}
	fmt.Println("alarms:", len(must(cli.AlarmList(ctx)).Alarms))

	snapshot := must(cli.SnapshotWithVersion(ctx))
	defer snapshot.Snapshot.Close()
	n := must(io.Copy(io.Discard, snapshot.Snapshot))
	fmt.Println("snapshot taken:", n > 0)
	// Output:
	// leads: true
	// alarms: 0
	// snapshot taken: true
}
