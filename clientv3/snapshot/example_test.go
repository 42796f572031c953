package snapshot_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/snapshot"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// place returns a directory for an example and the endpoints of a server for it; yours are in your
// configuration.
func place() (dir string, endpoints []string) {
	server, err := etcdtest.SharedMain()
	if err != nil {
		log.Fatal(err)
	}
	dir, err = os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	return dir, server.Endpoints()
}

func ExampleSaveWithVersion() {
	dir, endpoints := place()
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	path := filepath.Join(dir, "backup.db")
	_, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), clientv3.Config{Endpoints: endpoints}, path)
	if err != nil {
		log.Fatal(err)
	}
	_, err = os.Stat(path)
	fmt.Println("saved:", err == nil)
	// Output: saved: true
}

func ExampleFetch() {
	dir, endpoints := place()
	defer os.RemoveAll(dir)
	cli, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	var last snapshot.Progress
	info, err := snapshot.Fetch(ctx, cli, filepath.Join(dir, "backup.db"),
		snapshot.WithProgress(func(p snapshot.Progress) { last = p }))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("all of it:", last.Bytes == info.Size)
	// Output: all of it: true
}
