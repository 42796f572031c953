package clientv3_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// endpoints are those of a server that runs for these examples; yours are known
// from your configuration.
func endpoints() []string {
	c, err := etcdtest.SharedMain()
	if err != nil {
		log.Fatal(err)
	}
	return c.Endpoints()
}

func Example() {
	cli, err := clientv3.New(clientv3.Config{
		Endpoints:   endpoints(),
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := cli.Put(ctx, "sample_key", "sample_value"); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Get(ctx, "sample_key")
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		fmt.Printf("%s: %s\n", kv.Key, kv.Value)
	}
	// Output: sample_key: sample_value
}

func ExampleOutcomeUnknown() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	_, err = cli.Put(context.Background(), "", "value")
	switch {
	case err == nil:
		fmt.Println("written")
	case err == rpctypes.ErrEmptyKey:
		fmt.Println("the key is empty")
	case clientv3.OutcomeUnknown(err):
		fmt.Println("perhaps written, now or later")
	default:
		fmt.Println("not written:", err)
	}
	// Output: the key is empty
}

func ExampleWithFailFast() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:1"}})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	_, err = cli.Get(clientv3.WithFailFast(context.Background()), "key")
	fmt.Println(clientv3.Code(err))
	fmt.Println(err)
	// Output:
	// Unavailable
	// rpc error: code = Unavailable desc = no member is available: 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused (KV.Range)
}
