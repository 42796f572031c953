package concurrency_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// client connects to the server of the examples.
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
	session, err := concurrency.NewSession(cli, concurrency.WithTTL(10))
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()

	lock := concurrency.NewMutex(session, "/jobs/nightly")
	if err := lock.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer lock.Unlock(context.Background())

	// Use the lock's context for work that must stop when the lock is lost. A guarded write is
	// executed only while the lock is held.
	ctx := lock.Context()
	_, err = concurrency.Guard(ctx, cli, lock).Then(clientv3.OpPut("/jobs/nightly.progress", "50 %")).Commit()
	fmt.Println(err)
	// Output: <nil>
}

func ExampleElection_Campaign() {
	cli := client()
	defer cli.Close()
	session, err := concurrency.NewSession(cli, concurrency.WithTTL(10))
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()

	e := concurrency.NewElection(session, "/leader")
	if err := e.Campaign(context.Background(), "node1"); err != nil {
		log.Fatal(err)
	}
	leader, err := e.Leader(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s leads\n", leader.Kvs[0].Value)
	if err := e.Resign(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: node1 leads
}

func ExampleNewSTM() {
	cli := client()
	defer cli.Close()
	for key, value := range map[string]string{"/accounts/a": "100", "/accounts/b": "0"} {
		if _, err := cli.Put(context.Background(), key, value); err != nil {
			log.Fatal(err)
		}
	}
	_, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
		var a, b int
		if _, err := fmt.Sscan(s.Get("/accounts/a"), &a); err != nil {
			return err
		}
		if _, err := fmt.Sscan(s.Get("/accounts/b"), &b); err != nil {
			return err
		}
		s.Put("/accounts/a", fmt.Sprint(a-30))
		s.Put("/accounts/b", fmt.Sprint(b+30))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	r, err := cli.Get(context.Background(), "/accounts/", clientv3.WithPrefix())
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range r.Kvs {
		fmt.Printf("%s %s\n", kv.Key, kv.Value)
	}
	// Output:
	// /accounts/a 70
	// /accounts/b 30
}

// This is a semaphore for two owners: a claim waits until fewer than two were put before it.
func ExampleNewClaim() {
	cli := client()
	defer cli.Close()
	ctx := context.Background()
	for i := range 2 {
		session, err := concurrency.NewSession(cli)
		if err != nil {
			log.Fatal(err)
		}
		defer session.Close()
		place, err := concurrency.NewClaim(ctx, session, fmt.Sprint("/places/", i), "")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(place.Key(), place.Wait(ctx, "/places/", 2))
	}
	// Output:
	// /places/0 <nil>
	// /places/1 <nil>
}
