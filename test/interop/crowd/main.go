// SPDX-License-Identifier: Apache-2.0 OR MIT

// Crowd calls SayHello from many goroutines on one connection at once and checks each answer. Its
// server holds every call until half of them are inside, so it ends only if they truly overlap.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"
)

func main() {
	addr := flag.String("addr", "localhost:50051", "the address to connect to")
	n := flag.Int("n", 100, "goroutines")
	flag.Parse()
	conn, err := grpc.NewClient(*addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	client := pb.NewGreeterClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range *n {
		wg.Go(func() {
			name := fmt.Sprintf("crowd-%d", i)
			r, err := client.SayHello(ctx, &pb.HelloRequest{Name: name})
			if err != nil {
				log.Fatalf("%s: %v", name, err)
			}
			if r.Message != "Hello "+name {
				log.Fatalf("%s was told %q", name, r.Message)
			}
		})
	}
	wg.Wait()
	fmt.Printf("%d answers, all right\n", *n)
}
