package mockserver_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mock/mockserver"
)

func ExampleStartMockServers() {
	ms, err := mockserver.StartMockServers(2)
	if err != nil {
		log.Fatal(err)
	}
	defer ms.Stop()
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{ms.Servers[0].Address, ms.Servers[1].Address}})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	ms.StopAt(0)
	_, err = cli.Get(ctx, "key") // the other server answers
	fmt.Println(err)
	// Output: <nil>
}
