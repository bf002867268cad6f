// SPDX-License-Identifier: Apache-2.0 OR MIT

// Streams is one end of bidirectional streams on which both ends send and receive at once; their
// messages follow from their number, and what comes is checked. The twin of stream_pair.c, which
// tells what the flags do.
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

var (
	addr     = flag.String("addr", "", "the address to connect to")
	port     = flag.Int("port", -1, "the port to serve on")
	messages = flag.Int("messages", 20000, "on each stream, each way")
	streams  = flag.Int("streams", 1, "at once")
	size     = flag.Int("size", 0, "of each message; 0: they differ")
	unread   = flag.Bool("unread", false, "one more stream that is never read")
)

type pattern uint32

func (p *pattern) next() uint32 {
	*p = *p*1664525 + 1013904223
	return uint32(*p) >> 8
}

// size is log-uniform, 0 to 70,000.
func (p *pattern) size() int {
	if *size > 0 {
		return *size
	}
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

func send(seed pattern, put func(text string) error) error {
	for i := range *messages {
		if err := put(fill(seed.size(), i)); err != nil {
			return fmt.Errorf("send %d: %w", i, err)
		}
	}
	return nil
}

func receive(seed pattern, take func() (string, error)) error {
	for i := range *messages {
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
}

func (s *server) UnaryEcho(_ context.Context, q *pb.EchoRequest) (*pb.EchoResponse, error) {
	return &pb.EchoResponse{Message: q.GetMessage()}, nil
}

func (s *server) BidirectionalStreamingEcho(stream pb.Echo_BidirectionalStreamingEchoServer) error {
	log.Print("stream begins")
	got := make(chan error, 1)
	go func() {
		got <- receive(1, func() (string, error) {
			m, err := stream.Recv()
			return m.GetMessage(), err
		})
	}()
	err := send(2, func(text string) error {
		return stream.Send(&pb.EchoResponse{Message: text})
	})
	return errors.Join(err, <-got)
}

func oneStream(ctx context.Context, client pb.EchoClient) error {
	stream, err := client.BidirectionalStreamingEcho(ctx)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		err := send(1, func(text string) error {
			return stream.Send(&pb.EchoRequest{Message: text})
		})
		sent <- errors.Join(err, stream.CloseSend())
	}()
	err = receive(2, func() (string, error) {
		m, err := stream.Recv()
		return m.GetMessage(), err
	})
	return errors.Join(err, <-sent)
}

func oneCall(ctx context.Context, client pb.EchoClient) error {
	text := fill(*size, 77)
	reply, err := client.UnaryEcho(ctx, &pb.EchoRequest{Message: text})
	if err == nil && reply.GetMessage() != text {
		err = errors.New("the reply is wrong")
	}
	return err
}

func ask() error {
	limit := max(4<<20, *size+64)
	conn, err := grpc.NewClient(*addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(limit)))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 1000*time.Second)
	defer cancel()
	client := pb.NewEchoClient(conn)
	if *size > 0 {
		if err := oneCall(ctx, client); err != nil {
			return err
		}
	}
	if *unread {
		if _, err := client.BidirectionalStreamingEcho(ctx); err != nil {
			return err
		}
	}
	done := make(chan error, *streams)
	for range *streams {
		go func() { done <- oneStream(ctx, client) }()
	}
	for range *streams {
		err = errors.Join(err, <-done)
	}
	return err
}

func main() {
	flag.Parse()
	if *addr != "" {
		if err := ask(); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d messages each way, all right\n", *messages**streams)
		return
	}
	lis, err := net.Listen("tcp", fmt.Sprintf("localhost:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(max(4<<20, *size+64)))
	pb.RegisterEchoServer(s, &server{})
	fmt.Fprintf(os.Stderr, "server listening at %v\n", lis.Addr())
	log.Fatal(s.Serve(lis))
}
