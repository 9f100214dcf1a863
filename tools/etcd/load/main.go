// Load has clients acquire and release keys of an etcd at the same time: what
// leasing a port and releasing it again would be with etcd alone, as two
// transactions. Each client has a connection and a key of its own, so that none
// ever loses against another one. It prints how long each pair took.
//
//	load -endpoint 127.0.0.1:2379 -clients 64 -pairs 2000
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// result is what is printed, as JSON.
type result struct {
	Seconds float64   `json:"seconds"` // of all pairs
	Millis  []float64 `json:"millis"`  // of each
}

func main() {
	endpoint := flag.String("endpoint", "127.0.0.1:2379", "where etcd listens")
	clients := flag.Int("clients", 64, "how many clients")
	pairs := flag.Int("pairs", 2000, "how many pairs each does")
	flag.Parse()
	r, err := load(*endpoint, *clients, *pairs)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func load(endpoint string, clients, pairs int) (r result, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	all := make([]*clientv3.Client, clients)
	for i := range all {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second, Logger: zap.NewNop(), Context: ctx})
		if err != nil {
			return r, err
		}
		defer c.Close()
		if _, err := c.Get(ctx, "ready"); err != nil { // it is connected
			return r, err
		}
		all[i] = c
	}
	took := make([][]float64, clients)
	errs := make([]error, clients)
	var wait sync.WaitGroup
	begin := time.Now()
	for i, c := range all {
		wait.Go(func() {
			key := fmt.Sprintf("port/host-local/tcp/%05d", 28000+i)
			for range pairs {
				start := time.Now()
				if errs[i] = pair(ctx, c, key); errs[i] != nil {
					cancel()
					return
				}
				took[i] = append(took[i], float64(time.Since(start))/float64(time.Millisecond))
			}
		})
	}
	wait.Wait()
	r.Seconds = time.Since(begin).Seconds()
	for i := range all {
		if errs[i] != nil {
			return r, errs[i]
		}
		r.Millis = append(r.Millis, took[i]...)
	}
	return r, nil
}

// value is as long as the record of a lease.
var value = string(make([]byte, 70))

// pair makes a key where it is absent, and deletes it where it is the one made.
func pair(ctx context.Context, c *clientv3.Client, key string) error {
	made, err := c.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).Then(clientv3.OpPut(key, value)).Commit()
	if err != nil {
		return err
	}
	if !made.Succeeded {
		return fmt.Errorf("key %s is there", key)
	}
	gone, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", made.Header.Revision)).Then(clientv3.OpDelete(key)).Commit()
	if err != nil {
		return err
	}
	if !gone.Succeeded {
		return fmt.Errorf("key %s was changed", key)
	}
	return nil
}
