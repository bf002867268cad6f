// SPDX-License-Identifier: Apache-2.0 OR MIT

// Streams is one end of a bidirectional stream on which both ends send and receive at once; its
// messages follow from their number, and what comes is checked. The twin of stream_pair.c.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/examples/features/proto/echo"
)

type pattern uint32

func (p *pattern) next() uint32 {
	*p = *p*1664525 + 1013904223
	return uint32(*p) >> 8
}

// size is log-uniform, 0 to 70,000.
func (p *pattern) size() int {
	bits := p.next() % 17
	if bits == 0 {
		return 0
	}
	n := uint32(1)<<bits - 1
	return int(uint64(p.next()%n) * 70000 / 65535)
}

func fill(n int, i int) string {
	octets := make([]byte, n)
	for k := range octets {
		octets[k] = byte('a' + (uint32(i)*31+uint32(k)*7)%26)
	}
	return string(octets)
}

func send(n int, seed pattern, put func(text string) error) error {
	for i := range n {
		if err := put(fill(seed.size(), i)); err != nil {
			return fmt.Errorf("send %d: %w", i, err)
		}
	}
	return nil
}

func receive(n int, seed pattern, take func() (string, error)) error {
	for i := range n {
		text, err := take()
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if text != fill(seed.size(), i) {
			return fmt.Errorf("message %d is wrong (%d octets)", i, len(text))
		}
	}
	if _, err := take(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last message: %v", err)
	}
	return nil
}

type server struct {
	pb.UnimplementedEchoServer
	n int
}

func (s *server) BidirectionalStreamingEcho(stream pb.Echo_BidirectionalStreamingEchoServer) error {
	got := make(chan error, 1)
	go func() {
		got <- receive(s.n, 1, func() (string, error) {
			m, err := stream.Recv()
			return m.GetMessage(), err
		})
	}()
	err := send(s.n, 2, func(text string) error {
		return stream.Send(&pb.EchoResponse{Message: text})
	})
	return errors.Join(err, <-got)
}

func client(addr string, n int) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	stream, err := pb.NewEchoClient(conn).BidirectionalStreamingEcho(ctx)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		err := send(n, 1, func(text string) error {
			return stream.Send(&pb.EchoRequest{Message: text})
		})
		sent <- errors.Join(err, stream.CloseSend())
	}()
	err = receive(n, 2, func() (string, error) {
		m, err := stream.Recv()
		return m.GetMessage(), err
	})
	return errors.Join(err, <-sent)
}

func main() {
	addr := flag.String("addr", "", "the address to connect to")
	port := flag.Int("port", -1, "the port to serve on")
	n := flag.Int("messages", 20000, "each way")
	flag.Parse()
	if *addr != "" {
		if err := client(*addr, *n); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d messages each way, all right\n", *n)
		return
	}
	lis, err := net.Listen("tcp", fmt.Sprintf("localhost:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterEchoServer(s, &server{n: *n})
	fmt.Fprintf(os.Stderr, "server listening at %v\n", lis.Addr())
	log.Fatal(s.Serve(lis))
}
