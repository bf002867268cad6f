// SPDX-License-Identifier: Apache-2.0 OR MIT

// hpack judges our HPACK by Go's: random header lists are encoded by Go, decoded and encoded again
// by hpack_echo, and decoded by Go; they must come back as they went, while both sides' table sizes
// change.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"os/exec"
	"time"

	"golang.org/x/net/http2/hpack"
)

const noNews = 0xffffffff

var names = []string{":path", ":method", ":status", "te", "user-agent", "set-cookie", "x-a",
	"grpc-status", "x-long-name-that-takes-room", "b"}
var values = []string{"GET", "200", "/", "", "trailers", "a", "0", "application/grpc",
	"/package.Service/Method"}

func text(r *rand.Rand, known []string, least int) string {
	switch kind := r.Intn(20); {
	case kind < 15:
		return known[r.Intn(len(known))]
	case kind < 17:
		octets := make([]byte, least+r.Intn(600))
		r.Read(octets)
		return string(octets)
	default:
		octets := make([]byte, least+r.Intn(30))
		for i := range octets {
			octets[i] = "etaoin-shrdlu0129"[r.Intn(17)]
		}
		return string(octets)
	}
}

type set struct {
	fields []hpack.HeaderField
	table  uint32
}

// send encodes n random lists; what the other side must come to expect goes down the channel.
func send(r *rand.Rand, n int, to io.Writer, sent chan<- set) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	out := bufio.NewWriterSize(to, 1<<16)
	for i := 0; i < n; i++ {
		s := set{table: noNews}
		block.Reset()
		for r.Intn(40) == 0 {
			encoder.SetMaxDynamicTableSize(uint32(r.Intn(4097)))
		}
		if r.Intn(40) == 0 {
			s.table = uint32(r.Intn(6000))
		}
		for k := 1 + r.Intn(12); k > 0; k-- {
			f := hpack.HeaderField{Name: text(r, names, 1), Value: text(r, values, 0),
				Sensitive: r.Intn(8) == 0}
			s.fields = append(s.fields, f)
			if err := encoder.WriteField(f); err != nil {
				log.Fatal(err)
			}
		}
		sent <- s
		binary.Write(out, binary.BigEndian, []uint32{s.table, uint32(block.Len())})
		out.Write(block.Bytes())
	}
	close(sent)
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func receive(from io.Reader, sent <-chan set) (n int, err error) {
	decoder := hpack.NewDecoder(4096, nil)
	in := bufio.NewReaderSize(from, 1<<16)
	for s := range sent {
		var length uint32
		if err := binary.Read(in, binary.BigEndian, &length); err != nil {
			return n, err
		}
		block := make([]byte, length)
		if _, err := io.ReadFull(in, block); err != nil {
			return n, err
		}
		if s.table != noNews {
			decoder.SetAllowedMaxDynamicTableSize(s.table)
		}
		got, err := decoder.DecodeFull(block)
		if err != nil {
			return n, fmt.Errorf("list %d: %v", n, err)
		}
		if len(got) != len(s.fields) {
			return n, fmt.Errorf("list %d: %d fields of %d", n, len(got), len(s.fields))
		}
		for i, f := range got {
			if f != s.fields[i] {
				return n, fmt.Errorf("list %d: field %v, not %v", n, f, s.fields[i])
			}
		}
		n++
	}
	return n, nil
}

func main() {
	echo := flag.String("echo", "", "the program hpack_echo")
	sets := flag.Int("sets", 1000000, "how many lists")
	seed := flag.Int64("seed", time.Now().UnixNano(), "of the random lists")
	flag.Parse()
	log.SetFlags(0)
	program := exec.Command(*echo)
	program.Stderr = os.Stderr
	to, err := program.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	from, err := program.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := program.Start(); err != nil {
		log.Fatal(err)
	}
	sent := make(chan set, 10000)
	go func() {
		send(rand.New(rand.NewSource(*seed)), *sets, to, sent)
		to.Close()
	}()
	n, err := receive(from, sent)
	if err != nil {
		log.Fatalf("seed %d: %v", *seed, err)
	}
	if err := program.Wait(); err != nil {
		log.Fatalf("seed %d: %v", *seed, err)
	}
	fmt.Printf("%d header lists to hpack_echo and back, seed %d: no difference\n", n, *seed)
}
