// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// pb_go: the same with protobuf for Go: decoding into a new message, as grpc-go does, encoding into
// a slice that keeps its memory. CPU time of the process, so that of its garbage collector as well.
package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"

	"google.golang.org/protobuf/proto"

	"bench_pb/pbbench"
)

const rounds, times = 7, 100000

func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

func timeCase(name string, fn func() int) {
	best, octets := 1e18, 0
	for range rounds {
		start := cpu()
		for range times {
			octets = fn()
		}
		best = min(best, (cpu()-start)/times)
	}
	fmt.Printf("%s\t%.1f\t%d\n", name, best, octets)
}

func decode(octets []byte, m proto.Message) int {
	if err := proto.Unmarshal(octets, m); err != nil {
		panic(err)
	}
	return len(octets)
}

var out []byte

func encode(m proto.Message) int {
	var err error
	if out, err = (proto.MarshalOptions{}).MarshalAppend(out[:0], m); err != nil {
		panic(err)
	}
	return len(out)
}

func main() {
	octets, err := os.ReadFile(os.Getenv("MID_OCTETS"))
	mid, hello := &pbbench.Mid{}, &pbbench.Hello{Name: "abcdefghijklmnop"}
	if err != nil || decode(octets, mid) == 0 || encode(mid) == 0 || !bytes.Equal(out, octets) {
		fmt.Println("the octets do not come back", err)
		os.Exit(1)
	}
	helloOctets, _ := proto.Marshal(hello)
	timeCase("hello_decode", func() int { return decode(helloOctets, &pbbench.Hello{}) })
	timeCase("hello_encode", func() int { return encode(hello) })
	timeCase("mid_decode", func() int { return decode(octets, &pbbench.Mid{}) })
	timeCase("mid_encode", func() int { return encode(mid) })
}
