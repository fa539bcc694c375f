//! The lines of a customers file: each is a row that an event can find, or is named and left out, however the file is read.

#![no_main]

use std::collections::BTreeSet;
use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use shared::clock::UnixMillis;
use shared::customer::reference::CustomerRef;

// The two files alone: the package around them takes more of AWS's SDKs than all that is fuzzed here.
#[allow(dead_code)]
#[path = "../../tools/operator/src/customers/lines.rs"]
mod lines;
#[allow(dead_code)]
#[path = "../../tools/operator/src/words.rs"]
mod words;

fuzz_target!(|file: &[u8]| {
    let at_once = read(file);
    assert_eq!(at_once, read(Trickle(file)));
    for row in at_once.iter().flatten() {
        assert!(row.contains("CustomerRef") || row.starts_with("line"), "{row}");
    }
});

/// Every line, or why there is none.
fn read(file: impl Read) -> Result<Vec<String>, String> {
    let mut lines = lines::Lines::open(file).map_err(|error| error.to_string())?
        .with_once_routes(BTreeSet::from(["first-deposit".to_owned()]));
    let (mut all, mut last) = (Vec::new(), 1);
    while let Some(line) = lines.next(UnixMillis(0)).map_err(|error| error.to_string())? {
        match line {
            Ok(row) => {
                assert_eq!(CustomerRef::parse(&row.reference.to_string()).as_ref(), Ok(&row.reference));
                all.push(format!("{row:?}"));
            }
            Err(bad) => {
                assert!(bad.line > last, "line {} after {last}", bad.line);
                last = bad.line;
                all.push(format!("line {}: {}", bad.line, bad.reason));
            }
        }
    }
    Ok(all)
}

/// A byte at a time.
struct Trickle<'f>(&'f [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}
