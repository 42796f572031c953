package recipe_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	recipe "github.com/fairlead-go/fairlead/clientv3/experimental/recipes"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func client() *clientv3.Client {
	server, err := etcdtest.SharedMain()
	if err != nil {
		log.Fatal(err)
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: server.Endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	return cli
}

func Example() {
	cli := client()
	defer cli.Close()
	q := recipe.NewQueue(cli, "/example/queue")
	for _, job := range []string{"first", "second"} {
		if err := q.EnqueueContext(context.Background(), job); err != nil {
			log.Fatal(err)
		}
	}
	job, err := q.DequeueContext(context.Background())
	fmt.Println(job, err)
	// Output: first <nil>
}

func ExampleRunLeader() {
	cli := client()
	defer cli.Close()
	err := recipe.RunLeader(context.Background(), recipe.LeaderConfig{
		Client: cli, Prefix: "/example/leader", Identity: "node1",
		Run: func(ctx context.Context, e *concurrency.Election) error {
			// Work until ctx ends. Writes that only the leader may do:
			_, err := concurrency.Guard(ctx, cli, e).Then(clientv3.OpPut("/example/led-by", "node1")).Commit()
			fmt.Println("leading")
			return err
		},
	})
	fmt.Println(err)
	// Output:
	// leading
	// <nil>
}
