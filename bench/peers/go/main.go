// SPDX-License-Identifier: Apache-2.0 OR MIT

// The benchmark's server on grpc-go, for bench/compare: the flags are those of `bench server`.
// google.protobuf.BytesValue has the octets of bench.Msg, so that nothing need be generated.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"runtime"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func unary(_ any, _ context.Context, decode func(any) error,
	_ grpc.UnaryServerInterceptor) (any, error) {
	m := new(wrapperspb.BytesValue)
	return m, decode(m)
}

func stream(_ any, s grpc.ServerStream) error {
	for {
		m := new(wrapperspb.BytesValue)
		if err := s.RecvMsg(m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
}

func main() {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	port := flags.String("port", "50051", "")
	threads := flags.Int("threads", 1, "")
	if len(os.Args) < 2 || os.Args[1] != "server" {
		log.Fatal("usage: peer server --port P --threads N")
	}
	flags.Parse(os.Args[2:])
	runtime.GOMAXPROCS(*threads)
	listener, err := net.Listen("tcp", "127.0.0.1:"+*port)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(1 << 30))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Bench",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams: []grpc.StreamDesc{{StreamName: "Stream", Handler: stream,
			ServerStreams: true, ClientStreams: true}},
	}, nil)
	log.Fatal(server.Serve(listener))
}
