// Election campaigns until it leads, prints so, and leads until it is ended:
//
//	go run ./election node1
//
// Start another one, node2, in another terminal. It takes over when the first dies, after the TTL
// of its session (the server raises the one that the program asks for to two seconds).
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: election NODE")
	}
	node := os.Args[1]
	config := clientv3.Config{
		Endpoints:   []string{"localhost:2379", "localhost:22379", "localhost:32379"},
		DialTimeout: 5 * time.Second,
	}
	cli, err := clientv3.New(config)
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	var s *concurrency.Session
	s, err = concurrency.NewSession(cli, concurrency.WithTTL(1))
	if err != nil {
		log.Fatal(err)
	}
	e := concurrency.NewElection(s, "/testelection")
	if err = e.Campaign(context.Background(), node); err != nil {
		log.Fatalf("Campaign() returned non nil err: %s", err)
	}
	fmt.Println("I'm leader")
	<-s.Done() // until somebody ends the program, or the session is lost
	log.Fatal("no leader any more")
}
