// SPDX-License-Identifier: Apache-2.0 OR MIT

// connectgo -port N: connect-go in gRPC mode against our interop_server: each kind of call with
// metadata, deadline, cancellation, compression and an error status. Run by run_clients.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

const (
	service = "/grpc.testing.TestService/"
	initial = "x-grpc-test-echo-initial"
	special = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001F608\t\n"
	trailer = "x-grpc-test-echo-trailing-bin"
)

var sizes = []int32{31415, 9, 2653, 58979}

type clients struct {
	unary         *connect.Client[pb.SimpleRequest, pb.SimpleResponse]
	unimplemented *connect.Client[pb.Empty, pb.Empty]
	output        *connect.Client[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]
	input         *connect.Client[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]
	duplex        *connect.Client[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]
}

func dial(base string, options ...connect.ClientOption) clients {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	c := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	o := connect.WithClientOptions(append(options, connect.WithGRPC())...)
	type (
		out = pb.StreamingOutputCallRequest
		res = pb.StreamingOutputCallResponse
	)
	return clients{
		connect.NewClient[pb.SimpleRequest, pb.SimpleResponse](c, base+service+"UnaryCall", o),
		connect.NewClient[pb.Empty, pb.Empty](c, base+service+"UnimplementedCall", o),
		connect.NewClient[out, res](c, base+service+"StreamingOutputCall", o),
		connect.NewClient[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse](
			c, base+service+"StreamingInputCall", o),
		connect.NewClient[out, res](c, base+service+"FullDuplexCall", o),
	}
}

func check(ok bool, format string, args ...any) {
	if !ok {
		fmt.Printf(format+"\n", args...)
		os.Exit(1)
	}
}

func wantCode(err error, code connect.Code) {
	check(err != nil && connect.CodeOf(err) == code, "%v, not %v", err, code)
}

func response(interval int32, sizes ...int32) *pb.StreamingOutputCallRequest {
	q := &pb.StreamingOutputCallRequest{}
	for _, n := range sizes {
		q.ResponseParameters = append(q.ResponseParameters,
			&pb.ResponseParameters{Size: n, IntervalUs: interval})
	}
	return q
}

func unary(ctx context.Context, c clients) {
	r, err := c.unary.CallUnary(ctx, connect.NewRequest(&pb.SimpleRequest{
		ResponseSize: 314159, Payload: &pb.Payload{Body: make([]byte, 271828)}}))
	check(err == nil && len(r.Msg.Payload.Body) == 314159, "large: %v", err)
	q := connect.NewRequest(&pb.SimpleRequest{ResponseSize: 1})
	q.Header().Set(initial, "initial")
	q.Header().Set(trailer, connect.EncodeBinaryHeader([]byte{0xab, 0, 0xff}))
	r, err = c.unary.CallUnary(ctx, q)
	check(err == nil && r.Header().Get(initial) == "initial", "header: %v", err)
	bin, err := connect.DecodeBinaryHeader(r.Trailer().Get(trailer))
	check(err == nil && string(bin) == "\xab\x00\xff", "trailer: %q %v", bin, err)
	_, err = c.unary.CallUnary(ctx, connect.NewRequest(&pb.SimpleRequest{
		ResponseStatus: &pb.EchoStatus{Code: 2, Message: special}}))
	wantCode(err, connect.CodeUnknown)
	var e *connect.Error
	check(errors.As(err, &e) && e.Message() == special, "message %v", err)
	_, err = c.unimplemented.CallUnary(ctx, connect.NewRequest(&pb.Empty{}))
	wantCode(err, connect.CodeUnimplemented)
}

func streams(ctx context.Context, c clients) {
	out, err := c.output.CallServerStream(ctx, connect.NewRequest(response(0, sizes...)))
	check(err == nil, "%v", err)
	n := 0
	for out.Receive() {
		check(len(out.Msg().Payload.Body) == int(sizes[n]), "response %d", n)
		n++
	}
	check(out.Err() == nil && n == 4, "%d responses, %v", n, out.Err())
	in := c.input.CallClientStream(ctx)
	for _, n := range []int{27182, 8, 1828, 45904} {
		err = in.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: make([]byte, n)}})
		check(err == nil, "%v", err)
	}
	sum, err := in.CloseAndReceive()
	check(err == nil && sum.Msg.AggregatedPayloadSize == 74922, "sum: %v", err)
	duplex := c.duplex.CallBidiStream(ctx)
	for _, n := range sizes {
		check(duplex.Send(response(0, n)) == nil, "send")
		m, err := duplex.Receive()
		check(err == nil && len(m.Payload.Body) == int(n), "response: %v", err)
	}
	check(duplex.CloseRequest() == nil, "close")
	_, err = duplex.Receive()
	check(errors.Is(err, io.EOF), "%v", err)
}

func ends(ctx context.Context, c clients) {
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	out, err := c.output.CallServerStream(short, connect.NewRequest(response(20000000, 1)))
	if err == nil {
		for out.Receive() {
		}
		err = out.Err()
	}
	wantCode(err, connect.CodeDeadlineExceeded)
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	duplex := c.duplex.CallBidiStream(own)
	check(duplex.Send(response(0, 1)) == nil, "send")
	_, err = duplex.Receive()
	check(err == nil, "%v", err)
	cancel()
	_, err = duplex.Receive()
	wantCode(err, connect.CodeCanceled)
}

func main() {
	port := flag.Int("port", 10000, "of interop_server")
	flag.Parse()
	base := fmt.Sprintf("http://127.0.0.1:%d", *port)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, c := range []clients{dial(base), dial(base, connect.WithSendGzip())} {
		unary(ctx, c)
		streams(ctx, c)
		ends(ctx, c)
	}
	fmt.Println("all right")
}
