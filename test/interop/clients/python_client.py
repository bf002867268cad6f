#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""python_client.py PORT sync|aio [CA-FILE]: grpcio against our interop_server: each kind of call
with metadata, deadline, cancellation, compression and an error status; sync: health and reflection,
too. Run by run_clients, with the modules of grpc_testing.proto in PYTHONPATH."""
import asyncio
import sys
import time

import grpc
import grpc_testing_pb2 as pb
import grpc_testing_pb2_grpc as stubs

SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001F608\t\n"
SIZES = [31415, 9, 2653, 58979]
METADATA = (("x-grpc-test-echo-initial", "initial"),
            ("x-grpc-test-echo-trailing-bin", b"\xab\x00\xff"))


def want(got, wanted):
    assert got == wanted, f"{got!r}, not {wanted!r}"


def large():
    return pb.SimpleRequest(response_size=314159, payload=pb.Payload(body=bytes(271828)))


def failing():
    return pb.SimpleRequest(response_status=pb.EchoStatus(code=2, message=SPECIAL))


def output(*sizes, interval_us=0):
    return pb.StreamingOutputCallRequest(response_parameters=[
        pb.ResponseParameters(size=n, interval_us=interval_us) for n in sizes])


def inputs():
    for size in (27182, 8, 1828, 45904):
        yield pb.StreamingInputCallRequest(payload=pb.Payload(body=bytes(size)))


def check_metadata(initial, trailing):
    want(dict(initial)["x-grpc-test-echo-initial"], "initial")
    want(dict(trailing)["x-grpc-test-echo-trailing-bin"], b"\xab\x00\xff")


def check_error(error, code, details=None):
    want(error.code(), code)
    if details is not None:
        want(error.details(), details)


def sync_errors(stub):
    try:
        stub.UnaryCall(failing())
        raise AssertionError("no error")
    except grpc.RpcError as error:
        check_error(error, grpc.StatusCode.UNKNOWN, SPECIAL)
    try:
        stub.UnimplementedCall(pb.Empty())
        raise AssertionError("no error")
    except grpc.RpcError as error:
        check_error(error, grpc.StatusCode.UNIMPLEMENTED)
    start = time.monotonic()
    try:
        list(stub.StreamingOutputCall(output(1, 1, interval_us=20000000), timeout=0.2))
        raise AssertionError("no error")
    except grpc.RpcError as error:
        check_error(error, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert time.monotonic() - start < 10


def sync_streams(stub):
    want(stub.StreamingInputCall(inputs()).aggregated_payload_size, 74922)
    want([len(m.payload.body) for m in stub.StreamingOutputCall(output(*SIZES))], SIZES)
    call = stub.FullDuplexCall((output(n) for n in SIZES), metadata=METADATA)
    want([len(m.payload.body) for m in call], SIZES)
    check_metadata(call.initial_metadata(), call.trailing_metadata())
    call = stub.FullDuplexCall(iter([output(1, 1, interval_us=100000)] * 100))
    next(call)
    call.cancel()
    try:
        list(call)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        check_error(error, grpc.StatusCode.CANCELLED)


def sync(channel):
    stub = stubs.TestServiceStub(channel)
    want(len(stub.UnaryCall(large(), timeout=20).payload.body), 314159)
    want(len(stub.UnaryCall(large(), compression=grpc.Compression.Gzip).payload.body), 314159)
    reply, call = stub.UnaryCall.with_call(pb.SimpleRequest(response_size=1), metadata=METADATA)
    want(len(reply.payload.body), 1)
    check_metadata(call.initial_metadata(), call.trailing_metadata())
    sync_errors(stub)
    sync_streams(stub)
    for future in [stub.UnaryCall.future(pb.SimpleRequest(response_size=i)) for i in range(200)]:
        future.result()


def services(channel):
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase)
    health = health_pb2_grpc.HealthStub(channel)
    want(health.Check(health_pb2.HealthCheckRequest()).status, 1)
    watch = health.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    want(next(watch).status, 3)
    watch.cancel()
    database = ProtoReflectionDescriptorDatabase(channel)
    assert "grpc.testing.TestService" in database.get_services()
    found = database.FindFileContainingSymbol("grpc.testing.SimpleRequest")
    want(found.package, "grpc.testing")


async def expect(call, code, details=None):
    try:
        await call
        raise AssertionError("no error")
    except grpc.aio.AioRpcError as error:
        check_error(error, code, details)


async def drain(call):
    return [len(m.payload.body) async for m in call]


async def aio_streams(stub):
    want((await stub.StreamingInputCall(inputs())).aggregated_payload_size, 74922)
    want(await drain(stub.StreamingOutputCall(output(*SIZES))), SIZES)
    call = stub.FullDuplexCall(metadata=METADATA)
    for n in SIZES:
        await call.write(output(n))
        want(len((await call.read()).payload.body), n)
    await call.done_writing()
    want(await call.read(), grpc.aio.EOF)
    check_metadata(await call.initial_metadata(), await call.trailing_metadata())
    call = stub.FullDuplexCall()
    await call.write(output(1))
    await call.read()
    call.cancel()
    want(await call.code(), grpc.StatusCode.CANCELLED)


async def aio(channel):
    stub = stubs.TestServiceStub(channel)
    want(len((await stub.UnaryCall(large(), timeout=20)).payload.body), 314159)
    call = stub.UnaryCall(pb.SimpleRequest(response_size=1), metadata=METADATA)
    want(len((await call).payload.body), 1)
    check_metadata(await call.initial_metadata(), await call.trailing_metadata())
    await expect(stub.UnaryCall(failing()), grpc.StatusCode.UNKNOWN, SPECIAL)
    await expect(stub.UnimplementedCall(pb.Empty()), grpc.StatusCode.UNIMPLEMENTED)
    await expect(drain(stub.StreamingOutputCall(output(1, interval_us=20000000), timeout=0.2)),
                 grpc.StatusCode.DEADLINE_EXCEEDED)
    await aio_streams(stub)
    await asyncio.gather(*(stub.UnaryCall(pb.SimpleRequest(response_size=i)) for i in range(200)))


def channel(kind, port, ca):
    if not ca:
        return kind.insecure_channel(f"127.0.0.1:{port}")
    with open(ca, "rb") as file:
        creds = grpc.ssl_channel_credentials(file.read())
    return kind.secure_channel(f"127.0.0.1:{port}", creds, [
        ("grpc.ssl_target_name_override", "foo.test.google.fr")])


async def main_aio(port, ca):
    async with channel(grpc.aio, port, ca) as made:
        await aio(made)


def main():
    port, how, ca = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
    if how == "aio":
        asyncio.run(main_aio(port, ca))
    else:
        with channel(grpc, port, ca) as made:
            sync(made)
            services(made)
    print("all right")


if __name__ == "__main__":
    main()
