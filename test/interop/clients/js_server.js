// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// js_server.js PROTO [CERT KEY]: grpc.testing.TestService of grpc-js, for our interop_client. Run
// by run_clients.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [proto, cert, key] = process.argv.slice(2);
const loaded = loader.loadSync(proto, {keepCase: true, defaults: true});
const testing = grpc.loadPackageDefinition(loaded).grpc.testing;
const INITIAL = 'x-grpc-test-echo-initial', TRAILING = 'x-grpc-test-echo-trailing-bin';
const payload = size => ({payload: {body: Buffer.alloc(size || 0)}});
const sleep = us => new Promise(resolve => setTimeout(resolve, us / 1000));

// Sends the initial metadata; the trailing.
function echo(call) {
  const md = new grpc.Metadata(), end = new grpc.Metadata();
  call.metadata.get(INITIAL).forEach(v => md.add(INITIAL, v));
  call.metadata.get(TRAILING).forEach(v => end.add(TRAILING, v));
  call.sendMetadata(md);
  return end;
}

const failure = request => request.response_status && request.response_status.code ?
    {code: request.response_status.code, details: request.response_status.message} : null;

async function respond(call, request) {
  for (const p of request.response_parameters) {
    if (p.interval_us) await sleep(p.interval_us);
    call.write(payload(p.size));
  }
}

const service = {
  EmptyCall: (call, done) => done(null, {}),
  UnaryCall: (call, done) => {
    const end = echo(call), error = failure(call.request);
    done(error, error ? null : payload(call.request.response_size), end);
  },
  StreamingOutputCall: async call => {
    await respond(call, call.request);
    call.end();
  },
  StreamingInputCall: (call, done) => {
    let size = 0;
    call.on('data', m => { size += m.payload ? m.payload.body.length : 0; });
    call.on('end', () => done(null, {aggregated_payload_size: size}));
  },
  FullDuplexCall: call => {
    const end = echo(call);
    let before = Promise.resolve(), failed = false;
    call.on('data', request => {
      const error = failure(request);
      if (error && !failed) {
        failed = true;
        call.emit('error', error);
      } else {
        before = before.then(() => respond(call, request));
      }
    });
    call.on('end', () => before.then(() => failed || call.end(end)));
    call.on('error', () => {});
  },
};

const server = new grpc.Server();
server.addService(testing.TestService.service, service);
const creds = cert ?
    grpc.ServerCredentials.createSsl(
        null, [{cert_chain: fs.readFileSync(cert), private_key: fs.readFileSync(key)}]) :
    grpc.ServerCredentials.createInsecure();
server.bindAsync('127.0.0.1:0', creds, (error, port) => {
  if (error) throw error;
  console.log(`server listening at 127.0.0.1:${port}`);
});
