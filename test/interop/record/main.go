// SPDX-License-Identifier: Apache-2.0 OR MIT

// record writes down what grpc-go's client and grpc-go's server say to each other on one
// connection: calls of each kind of test.Echo (see test/unit/rpc/echo.h) and of each way to end,
// the last one while the server stops gracefully. The file is read by test/recorded.h: "> hex" is
// the client's, "< hex" the server's, in the order in which they came. Run it again to get another
// one: go run ./record >../recorded/grpc_go.txt
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// raw passes messages as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (raw) Name() string                       { return "proto" }

func message(text string, number byte) *[]byte {
	m := append([]byte{0x0a, byte(len(text))}, text...)
	if number != 0 {
		m = append(m, 0x10, number)
	}
	return &m
}

func number(m []byte) byte { return m[len(m)-1] }

func serve(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	var m []byte
	sum := byte(0)
	for s.RecvMsg(&m) == nil {
		switch method {
		case "/test.Echo/Unary":
			if bytes.Contains(m, []byte("fail")) {
				return status.Error(codes.InvalidArgument, "no: 100 %\n")
			}
			return s.SendMsg(&m)
		case "/test.Echo/List":
			for i := byte(1); i <= number(m); i++ {
				s.SendMsg(message("row", i))
			}
			return nil
		case "/test.Echo/Collect":
			sum += number(m)
		case "/test.Echo/Chat":
			s.SendMsg(&m)
		default:
			return status.Error(codes.Unimplemented, "no such method")
		}
	}
	if method == "/test.Echo/Collect" {
		return s.SendMsg(message("sum", sum))
	}
	return nil
}

var turns struct {
	sync.Mutex
	out strings.Builder
}

// pass copies one direction, each read written down before it goes on.
func pass(to, from net.Conn, who string) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			to.(*net.TCPConn).CloseWrite()
			return
		}
		turns.Lock()
		for at := 0; at < n; at += 40 {
			fmt.Fprintf(&turns.out, "%s %x\n", who, buffer[at:min(n, at+40)])
		}
		turns.Unlock()
		to.Write(buffer[:n])
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func stream(c *grpc.ClientConn, ctx context.Context, method string) grpc.ClientStream {
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	must(err)
	return s
}

func end(s grpc.ClientStream) {
	var m []byte
	for s.RecvMsg(&m) == nil {
	}
	time.Sleep(20 * time.Millisecond) // acknowledgements have come
}

func talk(c *grpc.ClientConn, server *grpc.Server) {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "x-note", "a note", "x-b-bin",
		string([]byte{0, 1, 2}))
	var m []byte
	must(c.Invoke(ctx, "/test.Echo/Unary", message("hello", 3), &m))
	c.Invoke(ctx, "/test.Echo/Unary", message("fail", 1), &m)
	s := stream(c, ctx, "/test.Echo/List")
	must(s.SendMsg(message("list", 3)))
	must(s.CloseSend())
	end(s)
	s = stream(c, ctx, "/test.Echo/Collect")
	for i := byte(1); i <= 3; i++ {
		must(s.SendMsg(message("part", i)))
	}
	must(s.CloseSend())
	end(s)
	s = stream(c, ctx, "/test.Echo/Chat")
	for i := byte(1); i <= 3; i++ {
		must(s.SendMsg(message("chat", i)))
		must(s.RecvMsg(&m))
	}
	must(s.CloseSend())
	end(s)
	c.Invoke(ctx, "/test.Echo/Missing", message("what", 1), &m)
	given, cancel := context.WithCancel(ctx)
	s = stream(c, given, "/test.Echo/Chat")
	must(s.SendMsg(message("given up", 1)))
	must(s.RecvMsg(&m))
	cancel()
	end(s)
	s = stream(c, ctx, "/test.Echo/Chat")
	must(s.SendMsg(message("late", 1)))
	must(s.RecvMsg(&m))
	stopped := make(chan bool)
	go func() { server.GracefulStop(); close(stopped) }()
	time.Sleep(100 * time.Millisecond)
	must(s.SendMsg(message("later", 2)))
	must(s.RecvMsg(&m))
	must(s.CloseSend())
	end(s)
	<-stopped
}

func main() {
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(serve))
	behind, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go server.Serve(behind)
	tap, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() {
		client, err := tap.Accept()
		must(err)
		to, err := net.Dial("tcp", behind.Addr().String())
		must(err)
		go pass(to, client, ">")
		pass(client, to, "<")
	}()
	c, err := grpc.NewClient("passthrough:///"+tap.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	must(err)
	talk(c, server)
	time.Sleep(100 * time.Millisecond)
	c.Close()
	turns.Lock()
	fmt.Printf("# SPDX-License-Identifier: Apache-2.0 OR MIT\n"+
		"# grpc-go %s on both sides, by test/interop/record.\n%s", grpc.Version, turns.out.String())
}
