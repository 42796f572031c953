package batch_test

import (
	"context"
	"fmt"
	"log"
	"sync"

	"github.com/fairlead-go/fairlead/batch"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func Example() {
	client := clienttest.ForExample() // clientv3.New(...) in a program
	defer client.Close()
	ctx := context.Background()

	kv := batch.NewKV(client)
	if _, err := kv.Put(ctx, "example/greeting", "hello"); err != nil {
		log.Fatal(err)
	}
	defer client.Delete(ctx, "example/", clientv3.WithPrefix())

	// A thousand goroutines read at the same time, with a few requests.
	var wg sync.WaitGroup
	answers := make([]string, 1000)
	for i := range answers {
		wg.Go(func() {
			resp, err := kv.Get(ctx, "example/greeting")
			if err == nil && len(resp.Kvs) == 1 {
				answers[i] = string(resp.Kvs[0].Value)
			}
		})
	}
	wg.Wait()
	same := true
	for _, a := range answers {
		same = same && a == answers[0]
	}
	fmt.Println(answers[0], same)
	// Output: hello true
}

func ExampleWithWrites() {
	client := clienttest.ForExample()
	defer client.Close()
	ctx := context.Background()

	// Use one KV for writes that may share revisions, and the client itself for those that may not.
	kv := batch.NewKV(client, batch.WithWrites())
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if _, err := kv.Put(ctx, fmt.Sprintf("example/%02d", i), "v"); err != nil {
				log.Print(err)
			}
		})
	}
	wg.Wait()
	resp, err := client.Delete(ctx, "example/", clientv3.WithPrefix())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Deleted)
	// Output: 100
}
