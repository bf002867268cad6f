// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// cpp_server [CERT KEY]: grpc.testing.TestService of Debian's grpc C++, for our interop_client.
// Built and run by run_clients.
#include "grpc_testing.grpc.pb.h"

#include <chrono>
#include <fstream>
#include <grpcpp/grpcpp.h>
#include <iostream>
#include <sstream>
#include <thread>

using namespace grpc::testing;
using grpc::Status;

namespace {

std::string Octets(const char *name)
{
    std::ifstream file(name);
    std::stringstream all;
    all << file.rdbuf();
    return all.str();
}

void Echo(grpc::ServerContext *ctx)
{
    for (const auto &m : ctx->client_metadata()) {
        std::string key(m.first.data(), m.first.size());
        std::string value(m.second.data(), m.second.size());
        if (key == "x-grpc-test-echo-initial")
            ctx->AddInitialMetadata(key, value);
        else if (key == "x-grpc-test-echo-trailing-bin")
            ctx->AddTrailingMetadata(key, value);
    }
}

template <class Request> Status Failure(const Request &q)
{
    const EchoStatus &s = q.response_status();
    return s.code() ? Status(static_cast<grpc::StatusCode>(s.code()), s.message()) : Status::OK;
}

template <class Stream> Status Respond(const StreamingOutputCallRequest &q, Stream *stream)
{
    Status status = Failure(q);
    for (const auto &p : q.response_parameters()) {
        if (!status.ok())
            break;
        std::this_thread::sleep_for(std::chrono::microseconds(p.interval_us()));
        StreamingOutputCallResponse r;
        r.mutable_payload()->set_body(std::string(static_cast<size_t>(p.size()), '\0'));
        if (!stream->Write(r))
            return Status(grpc::StatusCode::CANCELLED, "the client is gone");
    }
    return status;
}

class Service final : public TestService::Service {
    Status EmptyCall(grpc::ServerContext *, const Empty *, Empty *) override { return Status::OK; }

    Status UnaryCall(grpc::ServerContext *ctx, const SimpleRequest *q, SimpleResponse *r) override
    {
        Echo(ctx);
        r->mutable_payload()->set_body(
            std::string(static_cast<size_t>(q->response_size()), '\0'));
        if (q->response_compressed().value())
            ctx->set_compression_algorithm(GRPC_COMPRESS_GZIP);
        return Failure(*q);
    }

    Status StreamingOutputCall(grpc::ServerContext *, const StreamingOutputCallRequest *q,
                               grpc::ServerWriter<StreamingOutputCallResponse> *s) override
    {
        return Respond(*q, s);
    }

    Status StreamingInputCall(grpc::ServerContext *,
                              grpc::ServerReader<StreamingInputCallRequest> *s,
                              StreamingInputCallResponse *r) override
    {
        StreamingInputCallRequest q;
        size_t sum = 0;
        while (s->Read(&q))
            sum += q.payload().body().size();
        r->set_aggregated_payload_size(static_cast<int>(sum));
        return Status::OK;
    }

    Status FullDuplexCall(
        grpc::ServerContext *ctx,
        grpc::ServerReaderWriter<StreamingOutputCallResponse, StreamingOutputCallRequest> *s)
        override
    {
        StreamingOutputCallRequest q;
        Status status = Status::OK;
        Echo(ctx);
        while (status.ok() && s->Read(&q))
            status = Respond(q, s);
        return status;
    }
};

} // namespace

int main(int argc, char **argv)
{
    Service service;
    grpc::ServerBuilder builder;
    int port = 0;
    std::shared_ptr<grpc::ServerCredentials> creds = grpc::InsecureServerCredentials();
    if (argc == 3) {
        grpc::SslServerCredentialsOptions o;
        o.pem_key_cert_pairs.push_back({ Octets(argv[2]), Octets(argv[1]) });
        creds = grpc::SslServerCredentials(o);
    }
    builder.AddListeningPort("127.0.0.1:0", creds, &port);
    builder.RegisterService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    std::cout << "server listening at 127.0.0.1:" << port << std::endl;
    server->Wait();
    return 0;
}
