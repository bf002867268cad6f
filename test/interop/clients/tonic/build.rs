// SPDX-License-Identifier: Apache-2.0 OR MIT
fn main() {
    let dir = std::env::var("PROTO_DIR").expect("PROTO_DIR");
    tonic_prost_build::compile_protos(format!("{dir}/grpc_testing.proto")).unwrap();
}
