//! Looks for bodies that cost more than they may: a piece is repeated to a large body, and what its refusal takes of a core is
//! both what is judged and what guides the search, beside coverage.
//!
//! The input is what stands before, the piece and what stands behind, in lines. In the piece `#` is a number of its own each
//! time, in no order, and `$` one in falling order.

#![no_main]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use lambda_http::http::{HeaderMap, HeaderName};
use libfuzzer_sys::fuzz_target;
use nix::time::{ClockId, clock_gettime};
use shared::clock::UnixMillis;
use shared::receive::signing_keys::KeySet;
use shared::receive::verification::{Delivery, verify};

const NOW: UnixMillis = UnixMillis(1_747_253_577_000);
static KEYS: LazyLock<KeySet> = LazyLock::new(|| KeySet::parse(r#"{"keys":{"a":"key"}}"#).expect("it holds a key"));

/// A quarter of what is taken, so that a second sees hundreds of them.
const BYTES: usize = 64 * 1024;

/// The costliest that are known: `cargo run --release -p benches --bin bodies` holds these and others to the bound.
const KNOWN: [&str; 3] = [
    include_str!("../corpus/cost/escaped_keys"),
    include_str!("../corpus/cost/shared_prefix"),
    include_str!("../corpus/cost/short_numbers"),
];

/// Twice the costliest of them: this build is many times slower than the one that is deployed.
static BOUND: LazyLock<Duration> = LazyLock::new(|| {
    let costs = KNOWN.map(body).map(|body| (0..5).map(|_| cost_of(&body)).min());
    2 * costs.into_iter().flatten().max().unwrap_or_default()
});

/// How many steps of a tenth there are from [`LEAST`] on.
const STEPS: usize = 64;
const LEAST: Duration = Duration::from_millis(1);

/// The fuzzer takes a counter that it has not seen before for something new, and goes on from the body that set it.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static COUNTERS: [AtomicU8; STEPS] = [const { AtomicU8::new(0) }; STEPS];

static HIGHEST: AtomicU64 = AtomicU64::new(0);

fuzz_target!(|input: &str| {
    let body = body(input);
    let bound = *BOUND;
    let mut step = 0;
    let mut cost = Duration::MAX;
    // What else the machine does only adds: before a step counts as reached, it is looked at again.
    for _ in 0..6 {
        cost = cost.min(cost_of(&body));
        step = (cost.as_secs_f64() / LEAST.as_secs_f64()).max(1.0).log(1.1) as u64;
        if step <= HIGHEST.load(Ordering::Relaxed) {
            break;
        }
    }
    if step > HIGHEST.fetch_max(step, Ordering::Relaxed) {
        eprintln!("{cost:?} for {} bytes of {input:?}", body.len());
    }
    COUNTERS[(step as usize).min(STEPS - 1)].store(1, Ordering::Relaxed);
    assert!(cost <= bound, "{cost:?} for {} bytes of {input:?}", body.len());
});

/// What refusing it takes of this thread, for the provider that takes longer.
fn cost_of(body: &str) -> Duration {
    let cpu = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default();
    let costs = providers::ALL.iter().map(|provider| {
        let headers: HeaderMap = provider
            .headers(NOW.seconds(), &"0".repeat(64))
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("ASCII")))
            .collect();
        let before = cpu();
        let verdict = verify(provider, Delivery { headers: &headers, body: body.as_bytes() }, &KEYS, NOW);
        assert!(verdict.is_err(), "{} takes it", provider.name);
        cpu() - before
    });
    costs.max().unwrap_or_default()
}

fn body(input: &str) -> String {
    let mut lines = input.splitn(3, '\n');
    let [before, piece, behind] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let mut body = before.to_owned();
    for n in 0..BYTES as u64 {
        if piece.is_empty() || body.len() + piece.len() + behind.len() > BYTES {
            break;
        }
        for char in piece.chars() {
            match char {
                '#' => body += &(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).to_string(),
                '$' => body += &(99_999 - n).to_string(),
                _ => body.push(char),
            }
        }
    }
    body + behind
}
