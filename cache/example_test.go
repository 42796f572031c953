package cache_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func Example() {
	ctx := context.Background()
	cli := clienttest.ForExample()
	defer cli.Close()
	c, err := cache.New(cli, []string{"/config/", "/tenants/"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.WaitReady(ctx); err != nil {
		log.Fatal(err)
	}

	// Writes go to etcd; a read sees the writes before it.
	if _, err := c.Put(ctx, "/config/limit", "100"); err != nil {
		log.Fatal(err)
	}
	r, err := c.Get(ctx, "/config/limit")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", r.Kvs[0].Value)

	// From memory at once, with the age that Cache.Age reports; also while etcd cannot be reached.
	r, err = c.Get(ctx, "/config/", clientv3.WithPrefix(), clientv3.WithSerializable())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Count, c.States()[0].Err)
	// Output:
	// 100
	// 1 <nil>
}

func ExampleView() {
	ctx := context.Background()
	cli := clienttest.ForExample()
	defer cli.Close()
	c, err := cache.New(cli, []string{"/users/"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for name, teams := range map[string]string{"ann": "red blue", "bob": "blue"} {
		if _, err := c.Put(ctx, "/users/"+name, teams); err != nil {
			log.Fatal(err)
		}
	}

	// The values decoded, and found by the teams in them.
	byTeam := cache.NewIndex(func(_ string, teams []string) []string { return teams })
	users, err := cache.NewView(c, "/users/", func(_ string, value []byte) ([]string, error) {
		return strings.Fields(string(value)), nil
	}, byTeam)
	if err != nil {
		log.Fatal(err)
	}
	defer users.Close()
	if err := users.Sync(ctx); err != nil {
		log.Fatal(err)
	}
	for key := range byTeam.Get("blue") {
		fmt.Println(key)
	}
	// Output:
	// /users/ann
	// /users/bob
}
