//! The functions as they are deployed, built for another processor than this one: run by an emulator.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use local::faults::When;
use local::returning_ai::Fault;
use local::stack::FUNCTIONS;
use serde_json::json;

use crate::bridge::fixture::*;

/// The folder where `cargo lambda build --release --arm64` put them: `rail/bootstrap` and its like.
const BUILT: &str = "BRIDGE_ARM64_FUNCTIONS";

/// The command that runs one: `qemu-aarch64-static -L /usr/aarch64-linux-gnu`.
const EMULATOR: &str = "BRIDGE_ARM64_EMULATOR";

/// The processor that an ELF file is for, at this place in it, and what stands there for 64-bit ARM.
const ELF_MACHINE: std::ops::Range<usize> = 18..20;
const AARCH64: [u8; 2] = 183_u16.to_le_bytes();

#[tokio::test]
async fn what_is_deployed_on_arm64_answers_delivers_and_redrives() {
    let (Some(built), Some(emulator)) = (std::env::var_os(BUILT), std::env::var_os(EMULATOR)) else {
        println!("left out: {BUILT} and {EMULATOR} are not set; .ci/run sets them");
        return;
    };
    let scripts = tempfile::tempdir().unwrap();
    for function in FUNCTIONS {
        let bootstrap = PathBuf::from(&built).join(function).join("bootstrap");
        assert_eq!(fs::read(&bootstrap).unwrap()[ELF_MACHINE], AARCH64, "{}", bootstrap.display());
        let script = scripts.path().join(function);
        let command = format!("#!/bin/sh\nexec {} {}\n", emulator.to_str().unwrap(), bootstrap.to_str().unwrap());
        fs::write(&script, command).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let bridge = Bridge::with(|options| options.functions = scripts.path().to_owned()).await;

    for provider in RECEIVERS {
        assert_eq!(bridge.post(provider, wanted(provider, "e1")).await.told(), ACCEPTED);
        assert_eq!(bridge.send(&Delivery::signed_by(provider, "another key", "{}")).await.told(), UNAUTHORIZED);
        bridge.settled().await;
        assert_eq!(bridge.item(&format!("{provider}#e1"))["state"], "delivered");
    }
    bridge.stack.returning_ai.inject(None, Fault::Status(500), When::UntilCleared);
    bridge.post(RAIL, deposit("e2")).await;
    bridge.settled().await;
    bridge.stack.returning_ai.clear_faults();
    bridge.make_due().await;
    assert_eq!(bridge.redrive(json!({})).await["delivered"], 1);
}
