// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The benchmark's server on tonic, for bench/compare: the flags are those of `bench server`.
//! google.protobuf.BytesValue, which is Vec<u8> to prost, has the octets of bench.Msg.
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

type Codec = ProstCodec<Vec<u8>, Vec<u8>>;
type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

#[derive(Clone)]
struct Bench;

impl NamedService for Bench {
    const NAME: &'static str = "bench.Bench";
}

impl tower::Service<http::Request<Body>> for Bench {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        Box::pin(async move {
            let mut grpc = Grpc::new(Codec::default());
            if request.uri().path() == "/bench.Bench/Unary" {
                let echo = tower::service_fn(|r: Request<Vec<u8>>| async move {
                    Ok::<_, Status>(Response::new(r.into_inner()))
                });
                return Ok(grpc.unary(echo, request).await);
            }
            let echo = tower::service_fn(|r: Request<Streaming<Vec<u8>>>| async move {
                Ok::<_, Status>(Response::new(r.into_inner()))
            });
            Ok(grpc.streaming(echo, request).await)
        })
    }
}

fn value(args: &[String], name: &str, usual: &str) -> String {
    let at = args.iter().position(|a| a == name);
    at.and_then(|i| args.get(i + 1).cloned()).unwrap_or(usual.into())
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let port = value(&args, "--port", "50051");
    let threads = value(&args, "--threads", "1").parse().expect("--threads N");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let server = tonic::transport::Server::builder().add_service(Bench).serve(address);
    runtime.block_on(server).unwrap();
}
