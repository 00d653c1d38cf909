//! Compiles the wire interface. Pure Rust: no `protoc` is needed.

const PROTOS: [&str; 3] = ["proto/mvccpb.proto", "proto/etcdserverpb.proto", "proto/synod.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        // A step of a transaction takes two bytes on the wire at least. Boxed, a request of millions of empty
        // steps cannot blow up to a hundred times its size before the limit on steps refuses it.
        .boxed(".etcdserverpb.RequestOp.request.request_range")
        .boxed(".etcdserverpb.RequestOp.request.request_put")
        .boxed(".etcdserverpb.RequestOp.request.request_delete_range")
        .boxed(".etcdserverpb.RequestOp.request.request_txn")
        .compile_fds(descriptors)?;
    Ok(())
}
