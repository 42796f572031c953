// Package snippets has the programs of README.md and docs as code that compiles. A test looks each
// of them up here.
package snippets

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/batch"
	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
)

// First is the program of README.md.
func First() error {
	cli, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{"localhost:2379", "localhost:22379", "localhost:32379"},
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	defer cli.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	resp, err := cli.Put(ctx, "sample_key", "sample_value")
	if err != nil {
		return err
	}
	fmt.Println("written at revision", resp.Header.Revision)
	return nil
}

// List reads any number of keys.
func List(ctx context.Context, cli *clientv3.Client) error {
	for kv, err := range cli.Range(ctx, "orders/") {
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d bytes\n", kv.Key, len(kv.Value))
	}
	return nil
}

// User is what the keys below /tenants/ hold.
type User struct {
	Name  string
	Teams []string
}

func decodeUser(_ string, value []byte) (u User, err error) {
	err = json.Unmarshal(value, &u)
	return u, err
}

// Copies reads from a copy of two prefixes.
func Copies(ctx context.Context, cli *clientv3.Client) error {
	c, err := cache.New(cli, []string{"/config/", "/tenants/"})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.WaitReady(ctx); err != nil {
		return err
	}
	limit, err := c.Get(ctx, "/config/limit") // one shared round trip
	if err != nil {
		return err
	}
	cached, err := c.Get(ctx, "/config/limit", clientv3.WithSerializable()) // from memory
	if err != nil {
		return err
	}

	byTeam := cache.NewIndex(func(_ string, u User) []string { return u.Teams })
	users, err := cache.NewView(c, "/tenants/", decodeUser, byTeam)
	if err != nil {
		return err
	}
	defer users.Close()
	for key, user := range byTeam.Get("blue") {
		fmt.Println(key, user.Name)
	}
	fmt.Println(limit.Count, cached.Count)
	return nil
}

// Crowd makes what many goroutines can share.
func Crowd(cli *clientv3.Client) (readers, all clientv3.KV) {
	readers = batch.NewKV(cli)                 // a clientv3.KV for any number of goroutines
	all = batch.NewKV(cli, batch.WithWrites()) // puts and deletes too: one revision for many
	return readers, all
}
