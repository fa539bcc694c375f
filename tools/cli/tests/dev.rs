//! `bridge dev` ends when it is asked to, and all that it has started ends with it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// It takes milliseconds; this long only on a machine that hardly runs.
const BOUND: Duration = Duration::from_secs(60);

/// A cargo that builds for longer than anyone waits, with a compiler of its own.
const CARGO: &str = "#!/bin/sh
sleep 600 &
echo compiling >&2
wait
";

#[test]
fn a_signal_ends_it_while_cargo_builds_and_cargo_and_its_compilers_too() {
    for (signal, arguments, status) in [("TERM", [].as_slice(), 0), ("INT", &[], 0), ("TERM", &["--once"], 4)] {
        let folder = tempfile::tempdir().unwrap();
        let cargo = folder.path().join("cargo");
        fs::write(&cargo, CARGO).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let mut dev = Command::new(env!("CARGO_BIN_EXE_bridge"))
            .args(["dev", "--port", "0"])
            .args(arguments)
            .env("CARGO", &cargo)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(dev.stderr.take().unwrap()).lines();
        lines.by_ref().map(Result::unwrap).find(|line| line == "compiling").expect("cargo was not started");
        assert!(Command::new("kill").args(["-s", signal, &dev.id().to_string()]).status().unwrap().success());

        // All three hold the pipe: it ends when the last of them has ended.
        let (ended, wait) = channel();
        thread::spawn(move || {
            lines.for_each(drop);
            ended.send(()).unwrap();
        });
        wait.recv_timeout(BOUND).unwrap_or_else(|_| panic!("SIG{signal} did not end all of them"));
        assert_eq!(dev.wait().unwrap().code(), Some(status), "SIG{signal} {arguments:?}");
    }
}

#[test]
fn a_reader_that_leaves_ends_no_run_of_the_samples() {
    let (reader, out) = std::io::pipe().unwrap();
    drop(reader);
    let mut dev = Command::new(env!("CARGO_BIN_EXE_bridge"));
    let ended = dev.args(["dev", "--once", "--port", "0"]).stdout(out).stderr(Stdio::null()).status().unwrap();
    assert_eq!(ended.code(), Some(0));
}
