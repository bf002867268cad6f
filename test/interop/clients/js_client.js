// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// js_client.js PROTO PORT [CA-FILE]: grpc-js against our interop_server: each kind of call with
// metadata, deadline, cancellation and an error status. Run by run_clients.
'use strict';
const assert = require('assert');
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [proto, port, ca] = process.argv.slice(2);
const loaded = loader.loadSync(proto, {keepCase: true, defaults: true});
const testing = grpc.loadPackageDefinition(loaded).grpc.testing;
const SPECIAL =
    '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1F608}\t\n';
const SIZES = [31415, 9, 2653, 58979];

function connect() {
  if (!ca) return new testing.TestService(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  return new testing.TestService(
      `127.0.0.1:${port}`, grpc.credentials.createSsl(fs.readFileSync(ca)),
      {'grpc.ssl_target_name_override': 'foo.test.google.fr'});
}

function metadata() {
  const md = new grpc.Metadata();
  md.set('x-grpc-test-echo-initial', 'initial');
  md.set('x-grpc-test-echo-trailing-bin', Buffer.from([0xab, 0, 0xff]));
  return md;
}

const output = (sizes, interval_us = 0) =>
    ({response_parameters: sizes.map(size => ({size, interval_us}))});

// What came: error, reply, initial metadata, status.
const unary = (client, method, request, md, options) => new Promise(resolve => {
  const found = {};
  const call = client[method](request, md || new grpc.Metadata(), options || {},
                              (error, reply) => Object.assign(found, {error, reply}));
  call.on('metadata', m => { found.initial = m; });
  call.on('status', status => setImmediate(() => resolve(Object.assign(found, {status}))));
});

const collect = call => new Promise(resolve => {
  const found = {sizes: []};
  call.on('data', m => found.sizes.push(m.payload.body.length));
  call.on('error', error => { found.error = error; });
  call.on('metadata', m => { found.initial = m; });
  call.on('status', status => setImmediate(() => resolve(Object.assign(found, {status}))));
});

function checkMetadata(found) {
  assert.deepStrictEqual(found.initial.get('x-grpc-test-echo-initial'), ['initial']);
  assert.deepStrictEqual(found.status.metadata.get('x-grpc-test-echo-trailing-bin')[0],
                         Buffer.from([0xab, 0, 0xff]));
}

async function unaries(client) {
  const large = {response_size: 314159, payload: {body: Buffer.alloc(271828)}};
  let found = await unary(client, 'UnaryCall', large, null, {deadline: Date.now() + 20000});
  assert.strictEqual(found.reply.payload.body.length, 314159);
  found = await unary(client, 'UnaryCall', {response_size: 1}, metadata());
  checkMetadata(found);
  found = await unary(client, 'UnaryCall', {response_status: {code: 2, message: SPECIAL}});
  assert.strictEqual(found.error.code, grpc.status.UNKNOWN);
  assert.strictEqual(found.error.details, SPECIAL);
  found = await unary(client, 'UnimplementedCall', {});
  assert.strictEqual(found.error.code, grpc.status.UNIMPLEMENTED);
  const many = await Promise.all(
      Array.from({length: 200}, (_, i) => unary(client, 'UnaryCall', {response_size: i})));
  many.forEach((m, i) => assert.strictEqual(m.reply.payload.body.length, i));
}

async function streams(client) {
  let found = await collect(client.StreamingOutputCall(output(SIZES)));
  assert.deepStrictEqual(found.sizes, SIZES);
  found = await collect(
      client.StreamingOutputCall(output([1], 20000000), {deadline: Date.now() + 200}));
  assert.strictEqual(found.status.code, grpc.status.DEADLINE_EXCEEDED);
  const sum = await new Promise((resolve, reject) => {
    const call = client.StreamingInputCall((e, r) => e ? reject(e) : resolve(r));
    for (const n of [27182, 8, 1828, 45904]) call.write({payload: {body: Buffer.alloc(n)}});
    call.end();
  });
  assert.strictEqual(sum.aggregated_payload_size, 74922);
  const duplex = client.FullDuplexCall(metadata());
  SIZES.forEach(n => duplex.write(output([n])));
  duplex.end();
  found = await collect(duplex);
  assert.deepStrictEqual(found.sizes, SIZES);
  checkMetadata(found);
  const cancelled = client.FullDuplexCall();
  cancelled.on('data', () => cancelled.cancel());
  cancelled.write(output([1, 1], 1000));
  found = await collect(cancelled);
  assert.strictEqual(found.status.code, grpc.status.CANCELLED);
}

async function main() {
  const client = connect();
  await unaries(client);
  await streams(client);
  client.close();
  console.log('all right');
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
