// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// partner client PORT: tonic against our interop_server: each kind of call with metadata, deadline,
// cancellation, compression and an error status. partner server: TestService for our client.
// Built and run by run_clients.
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{iter, Stream, StreamExt};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status, Streaming};

#[allow(clippy::all)]
mod pb {
    tonic::include_proto!("grpc.testing");
}
use pb::test_service_client::TestServiceClient;
use pb::test_service_server::{TestService, TestServiceServer};
use pb::*;

type Item = Result<StreamingOutputCallResponse, Status>;
type Output = std::pin::Pin<Box<dyn Stream<Item = Item> + Send>>;
type Client = TestServiceClient<tonic::transport::Channel>;

const INITIAL: &str = "x-grpc-test-echo-initial";
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
const SPECIAL: &str =
    "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1F608}\t\n";
const SIZES: [i32; 4] = [31415, 9, 2653, 58979];

fn payload(size: usize) -> Option<Payload> {
    Some(Payload { r#type: 0, body: vec![0; size] })
}

fn output(sizes: &[i32], interval_us: i32) -> StreamingOutputCallRequest {
    let one = |&size: &i32| ResponseParameters { size, interval_us, compressed: None };
    StreamingOutputCallRequest {
        response_parameters: sizes.iter().map(one).collect(),
        ..Default::default()
    }
}

fn with_metadata<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(INITIAL, "initial".parse().unwrap());
    let value = MetadataValue::from_bytes(b"\xab\x00\xff");
    request.metadata_mut().insert_bin(TRAILING, value);
    request
}

// -- client -----------------------------------------------------------------------------------

async fn unary(c: &mut Client) -> Result<(), Status> {
    let large =
        SimpleRequest { response_size: 314159, payload: payload(271828), ..Default::default() };
    let reply = c.unary_call(large).await?.into_inner();
    assert_eq!(reply.payload.unwrap().body.len(), 314159);
    let small = SimpleRequest { response_size: 1, ..Default::default() };
    let reply = c.unary_call(with_metadata(small)).await?;
    assert_eq!(reply.metadata().get(INITIAL).unwrap(), "initial");
    let bin = reply.metadata().get_bin(TRAILING).unwrap().to_bytes().unwrap();
    assert_eq!(&bin[..], b"\xab\x00\xff");
    let status = EchoStatus { code: 2, message: SPECIAL.into() };
    let failing = SimpleRequest { response_status: Some(status), ..Default::default() };
    let error = c.unary_call(failing).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unknown, SPECIAL));
    let error = c.unimplemented_call(Empty {}).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    Ok(())
}

async fn streams(c: &mut Client) -> Result<(), Status> {
    let mut out = c.streaming_output_call(output(&SIZES, 0)).await?.into_inner();
    for size in SIZES {
        let m = out.message().await?.unwrap();
        assert_eq!(m.payload.unwrap().body.len(), size as usize);
    }
    assert!(out.message().await?.is_none());
    let inputs = [27182, 8, 1828, 45904]
        .map(|n| StreamingInputCallRequest { payload: payload(n), expect_compressed: None });
    let sum = c.streaming_input_call(iter(inputs)).await?.into_inner();
    assert_eq!(sum.aggregated_payload_size, 74922);
    let (send, receive) = mpsc::channel(1);
    send.send(output(&SIZES[..1], 0)).await.unwrap(); // headers come with the first response
    let request = with_metadata(ReceiverStream::new(receive));
    let reply = c.full_duplex_call(request).await?;
    assert_eq!(reply.metadata().get(INITIAL).unwrap(), "initial");
    let mut out = reply.into_inner();
    for i in 0..SIZES.len() {
        let m = out.message().await?.unwrap();
        assert_eq!(m.payload.unwrap().body.len(), SIZES[i] as usize);
        if i + 1 < SIZES.len() {
            send.send(output(&[SIZES[i + 1]], 0)).await.unwrap();
        }
    }
    drop(send);
    assert!(out.message().await?.is_none());
    let trailers = out.trailers().await?.unwrap();
    assert_eq!(&trailers.get_bin(TRAILING).unwrap().to_bytes().unwrap()[..], b"\xab\x00\xff");
    Ok(())
}

async fn ends(c: &mut Client) -> Result<(), Status> {
    let mut request = Request::new(output(&[1], 20_000_000));
    request.set_timeout(Duration::from_millis(200));
    let error = match c.streaming_output_call(request).await {
        Ok(reply) => reply.into_inner().message().await.unwrap_err(),
        Err(error) => error,
    };
    // tonic's own timer says Cancelled, the server's DeadlineExceeded: whichever is first.
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled), "{error}");
    let (send, receive) = mpsc::channel(1);
    send.send(output(&[1], 0)).await.unwrap();
    let mut out = c.full_duplex_call(ReceiverStream::new(receive)).await?.into_inner();
    out.message().await?;
    drop(out); // cancels; the connection must live on
    assert_eq!(c.empty_call(Empty {}).await?.into_inner(), Empty {});
    Ok(())
}

async fn client(port: &str) -> Result<(), Box<dyn std::error::Error>> {
    let plain = TestServiceClient::connect(format!("http://127.0.0.1:{port}")).await?;
    let gzip = plain
        .clone()
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    for mut c in [plain, gzip] {
        unary(&mut c).await?;
        streams(&mut c).await?;
        ends(&mut c).await?;
    }
    println!("all right");
    Ok(())
}

// -- server -----------------------------------------------------------------------------------

struct Service;

fn echo<T, U>(request: &Request<T>, response: &mut Response<U>) {
    if let Some(value) = request.metadata().get(INITIAL) {
        response.metadata_mut().insert(INITIAL, value.clone());
    }
}

fn failure(status: &Option<EchoStatus>) -> Result<(), Status> {
    match status {
        Some(s) if s.code != 0 => Err(Status::new(Code::from_i32(s.code), &s.message)),
        _ => Ok(()),
    }
}

async fn respond(
    request: StreamingOutputCallRequest,
    to: &mpsc::Sender<Item>,
) -> Result<(), ()> {
    if let Err(status) = failure(&request.response_status) {
        to.send(Err(status)).await.map_err(|_| ())?;
        return Err(());
    }
    for p in request.response_parameters {
        tokio::time::sleep(Duration::from_micros(p.interval_us as u64)).await;
        let m = StreamingOutputCallResponse { payload: payload(p.size as usize) };
        to.send(Ok(m)).await.map_err(|_| ())?;
    }
    Ok(())
}

#[tonic::async_trait]
impl TestService for Service {
    type StreamingOutputCallStream = Output;
    type FullDuplexCallStream = Output;
    type HalfDuplexCallStream = Output;

    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        failure(&request.get_ref().response_status)?;
        let mut response = Response::new(SimpleResponse {
            payload: payload(request.get_ref().response_size as usize),
            ..Default::default()
        });
        echo(&request, &mut response);
        Ok(response)
    }

    async fn cacheable_unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        self.unary_call(request).await
    }

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Output>, Status> {
        let (send, receive) = mpsc::channel(4);
        tokio::spawn(async move { respond(request.into_inner(), &send).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let mut requests = request.into_inner();
        let mut sum = 0;
        while let Some(m) = requests.next().await {
            sum += m?.payload.map_or(0, |p| p.body.len());
        }
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size: sum as i32 }))
    }

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Output>, Status> {
        let (send, receive) = mpsc::channel(4);
        let stream: Output = Box::pin(ReceiverStream::new(receive));
        let mut response = Response::new(stream);
        echo(&request, &mut response);
        let mut requests = request.into_inner();
        tokio::spawn(async move {
            while let Some(Ok(m)) = requests.next().await {
                if respond(m, &send).await.is_err() {
                    break;
                }
            }
        });
        Ok(response)
    }

    async fn half_duplex_call(
        &self,
        _: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Output>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn unimplemented_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn server() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("server listening at {}", listener.local_addr()?);
    let service = TestServiceServer::new(Service)
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    match args.get(2) {
        Some(port) => client(port).await,
        None => server().await,
    }
}
