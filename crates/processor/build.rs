//! Compiles the published `.proto` without needing `protoc` on the machine.

use std::error::Error;

const PROTOS: [&str; 2] = [
    "eson/processor/v1/processor.proto",
    "eson/signal/v1/program.proto",
];
const INCLUDE: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={INCLUDE}");
    let descriptors = protox::compile(PROTOS, [INCLUDE])?;
    tonic_prost_build::configure()
        .btree_map(".")
        // Payload is passed on, not copied.
        .bytes(".eson.signal")
        // They hold passwords; `proto.rs` implements Debug without them.
        .skip_debug([
            "eson.processor.v1.Endpoint",
            "eson.processor.v1.SchemaRegistry",
        ])
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
