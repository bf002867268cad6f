#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""python_server.py sync|aio [CERT KEY]: grpc.testing.TestService of grpcio, for our interop_client.
Run by run_clients, with the modules of grpc_testing.proto in PYTHONPATH."""
import asyncio
import sys
import time
from concurrent import futures

import grpc
import grpc_testing_pb2 as pb
import grpc_testing_pb2_grpc as stubs

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
CODES = {code.value[0]: code for code in grpc.StatusCode}


def echoes(context):
    found = dict(context.invocation_metadata())
    if TRAILING in found:
        context.set_trailing_metadata(((TRAILING, found[TRAILING]),))
    return ((INITIAL, found[INITIAL]),) if INITIAL in found else ()


def payload(size):
    return pb.Payload(body=bytes(size))


class Sync(stubs.TestServiceServicer):
    def EmptyCall(self, request, context):
        return pb.Empty()

    def UnaryCall(self, request, context):
        context.send_initial_metadata(echoes(context))
        if request.response_status.code:
            context.abort(CODES[request.response_status.code], request.response_status.message)
        return pb.SimpleResponse(payload=payload(request.response_size))

    def StreamingOutputCall(self, request, context):
        if request.response_status.code:
            context.abort(CODES[request.response_status.code], request.response_status.message)
        for p in request.response_parameters:
            time.sleep(p.interval_us / 1e6)
            yield pb.StreamingOutputCallResponse(payload=payload(p.size))

    def StreamingInputCall(self, request_iterator, context):
        size = sum(len(m.payload.body) for m in request_iterator)
        return pb.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, request_iterator, context):
        context.send_initial_metadata(echoes(context))
        for request in request_iterator:
            yield from self.StreamingOutputCall(request, context)


class Aio(stubs.TestServiceServicer):
    async def EmptyCall(self, request, context):
        return pb.Empty()

    async def UnaryCall(self, request, context):
        await context.send_initial_metadata(echoes(context))
        if request.response_status.code:
            await context.abort(CODES[request.response_status.code],
                                request.response_status.message)
        return pb.SimpleResponse(payload=payload(request.response_size))

    async def StreamingOutputCall(self, request, context):
        if request.response_status.code:
            await context.abort(CODES[request.response_status.code],
                                request.response_status.message)
        for p in request.response_parameters:
            await asyncio.sleep(p.interval_us / 1e6)
            yield pb.StreamingOutputCallResponse(payload=payload(p.size))

    async def StreamingInputCall(self, request_iterator, context):
        size = 0
        async for m in request_iterator:
            size += len(m.payload.body)
        return pb.StreamingInputCallResponse(aggregated_payload_size=size)

    async def FullDuplexCall(self, request_iterator, context):
        await context.send_initial_metadata(echoes(context))
        async for request in request_iterator:
            async for response in self.StreamingOutputCall(request, context):
                yield response


def listen(server, files):
    if not files:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        octets = []
        for name in files:
            with open(name, "rb") as file:
                octets.append(file.read())
        creds = grpc.ssl_server_credentials([(octets[1], octets[0])])
        port = server.add_secure_port("127.0.0.1:0", creds)
    print(f"server listening at 127.0.0.1:{port}", flush=True)


async def main_aio(files):
    server = grpc.aio.server()
    stubs.add_TestServiceServicer_to_server(Aio(), server)
    listen(server, files)
    await server.start()
    await server.wait_for_termination()


def main():
    if sys.argv[1] == "aio":
        asyncio.run(main_aio(sys.argv[2:]))
        return
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=40))
    stubs.add_TestServiceServicer_to_server(Sync(), server)
    listen(server, sys.argv[2:])
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
