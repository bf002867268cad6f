// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// round_trips COUNT SEED TESTEE DESCRIPTORS: random messages of the conformance suite's types,
// made, read and judged by protobuf for Go, through conformance_testee: binary, JSON and text.
// Messages are dynamic, by the descriptor set that DESCRIPTORS names, so no code is generated. What
// comes back must be equal when Go reads it, and Go's octets for it the same.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

var kinds = []protoreflect.FullName{
	"protobuf_test_messages.proto3.TestAllTypesProto3",
	"protobuf_test_messages.proto2.TestAllTypesProto2",
	"protobuf_test_messages.editions.TestAllTypesEdition2023",
}

const (
	requestName  = "conformance.ConformanceRequest"
	responseName = "conformance.ConformanceResponse"
	// conformance.WireFormat, and the fields of request and response
	formBinary, formJSON, formText = 1, 2, 4
)

type testee struct {
	in    io.Writer
	out   io.Reader
	types *dynamicpb.Types
	files *protoregistry.Files
}

func (t *testee) make(name protoreflect.FullName) *dynamicpb.Message {
	d, err := t.files.FindDescriptorByName(name)
	if err != nil {
		panic(err)
	}
	return dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
}

func field(m protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(name)
}

// ask sends a payload and returns the one of the answer, which must be in the format that is asked.
func (t *testee) ask(name protoreflect.FullName, payload string, value protoreflect.Value,
	form int) (protoreflect.Value, error) {
	request := t.make(requestName)
	request.Set(field(request, protoreflect.Name(payload)), value)
	request.Set(field(request, "message_type"), protoreflect.ValueOfString(string(name)))
	request.Set(field(request, "requested_output_format"),
		protoreflect.ValueOfEnum(protoreflect.EnumNumber(form)))
	octets, err := proto.Marshal(request)
	if err != nil {
		return value, err
	}
	framed := binary.LittleEndian.AppendUint32(nil, uint32(len(octets)))
	if _, err = t.in.Write(append(framed, octets...)); err != nil {
		return value, err
	}
	var length [4]byte
	if _, err = io.ReadFull(t.out, length[:]); err != nil {
		return value, err
	}
	octets = make([]byte, binary.LittleEndian.Uint32(length[:]))
	if _, err = io.ReadFull(t.out, octets); err != nil {
		return value, err
	}
	answer := t.make(responseName)
	if err = proto.Unmarshal(octets, answer); err != nil {
		return value, err
	}
	result := answer.WhichOneof(answer.Descriptor().Oneofs().ByName("result"))
	want := map[int]protoreflect.Name{formBinary: "protobuf_payload", formJSON: "json_payload",
		formText: "text_payload"}[form]
	if result == nil || result.Name() != want {
		return value, fmt.Errorf("the answer is %v", answer)
	}
	return answer.Get(result), nil
}

var letters = []rune{'a', 'Z', 0, '\n', '"', '\\', 0xe9, 0x4e2d, 0x1f600, ' ', '\''}

func scalar(rnd *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	small, any64 := rnd.Int63n(401)-200, int64(rnd.Uint64())
	whole := []int64{0, 1, math.MinInt64, math.MaxInt64, any64, small}[rnd.Intn(6)]
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rnd.Intn(2) == 0)
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(rnd.Intn(values.Len())).Number())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		values := []int32{0, math.MinInt32, int32(whole), int32(small)}
		return protoreflect.ValueOfInt32(values[rnd.Intn(len(values))])
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(whole))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(whole)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(whole))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32([]float32{0, 1.5, rnd.Float32(), -1e30}[rnd.Intn(4)])
	case protoreflect.DoubleKind:
		values := []float64{0, -2.5, rnd.NormFloat64(), math.Inf(1)}
		return protoreflect.ValueOfFloat64(values[rnd.Intn(len(values))])
	case protoreflect.BytesKind:
		octets := make([]byte, []int{0, 1, 7, 200}[rnd.Intn(4)])
		rnd.Read(octets)
		return protoreflect.ValueOfBytes(octets)
	}
	text := make([]rune, []int{0, 1, 5, 9, 80}[rnd.Intn(5)])
	for i := range text {
		text[i] = letters[rnd.Intn(len(letters))]
	}
	return protoreflect.ValueOfString(string(text))
}

// known fills types that have a JSON form of their own; false: it is none of them.
func known(rnd *rand.Rand, m protoreflect.Message) bool {
	set := func(name protoreflect.Name, v any) { m.Set(field(m, name), protoreflect.ValueOf(v)) }
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp":
		set("seconds", rnd.Int63n(253402300799+62135596801)-62135596800)
		set("nanos", []int32{0, 5, 100000000}[rnd.Intn(3)])
	case "google.protobuf.Duration":
		set("seconds", rnd.Int63n(315576000001))
	case "google.protobuf.FieldMask":
		m.Mutable(field(m, "paths")).List().Append(protoreflect.ValueOfString("foo_bar.b"))
	case "google.protobuf.Value":
		set("string_value", "v")
	case "google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.Any":
		// as they are: empty
	default:
		return false
	}
	return true
}

func fill(rnd *rand.Rand, m protoreflect.Message, depth int, maps bool) {
	if known(rnd, m) {
		return
	}
	fields := m.Descriptor().Fields()
	for n := []int{1, 3, 8, 30}[rnd.Intn(4)]; n > 0; n-- {
		f := fields.Get(rnd.Intn(fields.Len()))
		if f.Message() != nil && !f.IsMap() && depth == 0 || f.IsMap() && (!maps || depth == 0) {
			continue
		}
		switch {
		case f.IsMap():
			key := scalar(rnd, f.MapKey()).MapKey()
			value := m.Mutable(f).Map().NewValue()
			if f.MapValue().Message() != nil {
				fill(rnd, value.Message(), depth-1, maps)
			} else {
				value = scalar(rnd, f.MapValue())
			}
			m.Mutable(f).Map().Set(key, value)
		case f.IsList() && f.Message() != nil:
			fill(rnd, m.Mutable(f).List().AppendMutable().Message(), depth-1, maps)
		case f.IsList():
			for i := rnd.Intn(5); i > 0; i-- {
				m.Mutable(f).List().Append(scalar(rnd, f))
			}
		case f.Message() != nil:
			fill(rnd, m.Mutable(f).Message(), depth-1, maps)
		default:
			m.Set(f, scalar(rnd, f))
		}
	}
}

func (t *testee) one(rnd *rand.Rand, name protoreflect.FullName, maps bool) error {
	message := t.make(name)
	fill(rnd, message, 3, maps)
	same := proto.MarshalOptions{Deterministic: true}
	octets, err := same.Marshal(message)
	if err != nil {
		return err
	}
	payload, value := "protobuf_payload", protoreflect.ValueOfBytes(octets)
	form := []int{formBinary, formJSON, formText}[rnd.Intn(3)]
	if form != formBinary { // ours writes it, Go reads it, and the other way round
		text, err := t.ask(name, payload, value, form)
		if err != nil {
			return err
		}
		read := t.make(name)
		if form == formJSON {
			err = protojson.UnmarshalOptions{Resolver: t.types}.Unmarshal([]byte(text.String()), read)
		} else {
			err = prototext.UnmarshalOptions{Resolver: t.types}.Unmarshal([]byte(text.String()), read)
		}
		if err != nil || !proto.Equal(read, message) {
			return fmt.Errorf("%v\nours:\n%v\nGo's: %v", err, text, message)
		}
		var written []byte
		if payload = "json_payload"; form == formJSON {
			written, err = protojson.MarshalOptions{Resolver: t.types}.Marshal(message)
		} else {
			payload = "text_payload"
			written, err = prototext.MarshalOptions{Resolver: t.types}.Marshal(message)
		}
		if err != nil {
			return err
		}
		value = protoreflect.ValueOfString(string(written))
	}
	back, err := t.ask(name, payload, value, formBinary)
	if err != nil {
		return err
	}
	read := t.make(name)
	if err = proto.Unmarshal(back.Bytes(), read); err != nil {
		return err
	}
	again, err := same.Marshal(read)
	if err != nil || string(again) != string(octets) {
		return fmt.Errorf("%v\nours: %v\nGo's: %v", err, read, message)
	}
	return nil
}

// withoutSets takes message sets out, which Go does not read, and whatever extends or holds them.
func withoutSets(m *descriptorpb.DescriptorProto) {
	sets := map[string]bool{}
	for _, nested := range m.NestedType {
		sets[nested.GetName()] = nested.Options.GetMessageSetWireFormat()
	}
	isSet := func(name string) bool { return sets[name[strings.LastIndex(name, ".")+1:]] }
	m.Field = slices.DeleteFunc(m.Field, func(f *descriptorpb.FieldDescriptorProto) bool {
		return isSet(f.GetTypeName())
	})
	m.NestedType = slices.DeleteFunc(m.NestedType, func(n *descriptorpb.DescriptorProto) bool {
		return isSet(n.GetName()) || slices.ContainsFunc(n.Extension,
			func(e *descriptorpb.FieldDescriptorProto) bool { return isSet(e.GetExtendee()) })
	})
}

func fatal(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func main() {
	count, err := strconv.Atoi(os.Args[1])
	fatal(err)
	seed, err := strconv.ParseInt(os.Args[2], 10, 64)
	fatal(err)
	octets, err := os.ReadFile(os.Args[4])
	fatal(err)
	set := &descriptorpb.FileDescriptorSet{}
	fatal(proto.Unmarshal(octets, set))
	for _, file := range set.File {
		for _, m := range file.MessageType {
			withoutSets(m)
		}
	}
	files, err := protodesc.NewFiles(set)
	fatal(err)
	command := exec.Command(os.Args[3])
	in, err := command.StdinPipe()
	fatal(err)
	out, err := command.StdoutPipe()
	fatal(err)
	fatal(command.Start())
	t := &testee{in, out, dynamicpb.NewTypes(files), files}
	for i := 0; i < count; i++ {
		rnd := rand.New(rand.NewSource(seed*1000003 + int64(i)))
		if err := t.one(rnd, kinds[i%len(kinds)], i%2 == 1); err != nil {
			fmt.Printf("message %d of seed %d: %v\n", i, seed, err)
			os.Exit(1)
		}
	}
	fmt.Printf("%d messages of seed %d came back from Go\n", count, seed)
}
