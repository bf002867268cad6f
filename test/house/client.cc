// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// client.cc: a C++ program on an installed Sennit: the generated header, a call, an error, and
// goroutines that share the connection. Built and run by check_install.
#include "helloworld.sennit.h"

#include <cstdio>
#include <string>

struct Greeting {
    sennit_conn *conn;
    int number;
};

static sennit_err greet(void *arg)
{
    const Greeting *g = static_cast<Greeting *>(arg);
    sennit_auto(sennit_ctx) *ctx = sennit_ctx_timeout(nullptr, 10 * SENNIT_SECOND);
    const std::string name = "paste " + std::to_string(g->number);
    helloworld_HelloRequest request = {};
    helloworld_HelloReply reply;

    request.name = sennit_s(name.c_str());
    sennit_err err = helloworld_Greeter_SayHello({ g->conn }, ctx, &request, &reply);
    if (!err && std::string(reply.message.data, reply.message.len) != "Hello " + name)
        err = sennit_errorf(SENNIT_DATA_LOSS, "told \"%s\"", reply.message.data);
    return err;
}

int main(int argc, char **argv)
{
    sennit_conn_options options = {};
    options.creds = sennit_insecure();
    sennit_auto(sennit_conn) *conn = sennit_dial(argc > 1 ? argv[1] : "", &options);
    sennit_auto(sennit_group) *group = sennit_group_new(nullptr);
    Greeting greetings[10];

    for (int i = 0; i < 10; i++) {
        greetings[i] = { conn, i };
        sennit_group_go(group, greet, &greetings[i]);
    }
    sennit_err err = sennit_group_wait(group);
    std::printf("%s\n", err ? sennit_err_text(err) : "10 greetings from C++");
    return err != nullptr;
}
