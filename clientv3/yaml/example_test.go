package yaml_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/yaml"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func ExampleNewConfig() {
	server, err := etcdtest.SharedMain() // a server for the example; yours has an address in your configuration
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "client.yaml")
	text := fmt.Sprintf("endpoints: [%s]\ndial-timeout: 5000000000\ninsecure-transport: true\n", server.Endpoints()[0])
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		log.Fatal(err)
	}

	cfg, err := yaml.NewConfig(path)
	if err != nil {
		log.Fatal(err)
	}
	cli, err := clientv3.New(*cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := cli.Put(ctx, "yaml", "works"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg.DialTimeout)
	// Output: 5s
}
