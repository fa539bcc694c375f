//! No input ends in a 5xx or takes the process down.

use std::cell::Cell;

use bytes::Bytes;
use local::gateway::events::{HttpRequest, http_api_event, rest_api_event, with_base64_body};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::Value;

use crate::bridge::fixture::*;

/// Moderate, because each is a real delivery.
const CASES: u32 = 256;

/// Runs `check` over `strategy` with one warm process per provider, and returns what the answers' statuses were.
fn over<S: Strategy>(strategy: &S, check: &impl AsyncFn(&Bridge, S::Value) -> u16) -> Vec<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bridge = runtime.block_on(Bridge::with(one_process));
    let pids = || RECEIVERS.map(|provider| bridge.function(provider).pids());
    runtime.block_on(async {
        for provider in RECEIVERS {
            assert_eq!(bridge.post(provider, wanted(provider, "warm")).await.told(), ACCEPTED);
        }
        bridge.settled().await;
    });
    let before = pids();
    let statuses = Cell::new(Vec::new());
    // The same cases in every run: what fails here fails everywhere.
    let config = Config { cases: CASES, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Config::default() };
    let run = TestRunner::new(config).run(strategy, |case| {
        let status = runtime.block_on(check(&bridge, case));
        let mut all = statuses.take();
        all.push(status);
        statuses.set(all);
        Ok(())
    });
    runtime.block_on(bridge.settled());
    assert_eq!(run.map_err(|error| error.to_string()), Ok(()));
    assert_eq!(pids(), before, "the same processes");
    let mut statuses = statuses.take();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn provider() -> impl Strategy<Value = &'static str> {
    select(&RECEIVERS[..])
}

/// Bodies of every kind: text that is almost JSON, JSON, bytes, nothing, a lot.
fn body() -> impl Strategy<Value = Bytes> {
    let almost_json = "[\\[\\]{}\",:0-9eE+.\\\\u\\-a-z \\PC]{0,60}";
    prop_oneof![
        4 => almost_json.prop_map(Bytes::from),
        4 => json(4).prop_map(Bytes::from),
        4 => envelope().prop_map(Bytes::from),
        2 => vec(any::<u8>(), 0..200).prop_map(Bytes::from),
        1 => Just(Bytes::new()),
        1 => (0..3_u8).prop_map(|n| Bytes::from(vec![b"{[ "[usize::from(n)]; 1 << 17])),
        1 => Just(Bytes::from(vec![b' '; 256 * 1024 + 1])),
    ]
}

/// A JSON text, with what JavaScript reads and Rust's crates often do not.
fn json(depth: u32) -> BoxedStrategy<String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        "\"(\\\\(u[0-9a-fA-F]{4}|[\"\\\\/bfnrt])|[^\"\\\\\\x00-\\x1f]){0,20}\"",
        Just(r#""\ud800""#.to_owned()),
    ];
    let key = prop_oneof!["\"[a-z0-9_]{0,4}\"", Just("\"__proto__\"".to_owned()), Just("\"\u{10000}\"".to_owned())];
    scalar
        .prop_recursive(depth, 30, 5, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
                vec((key.clone(), inner), 0..5).prop_map(|members| {
                    let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
        .boxed()
}

/// An envelope of either provider with anything in its fields.
fn envelope() -> impl Strategy<Value = String> {
    let event_type = prop_oneof![
        Just(r#""TRANSACTION_POSTED""#.to_owned()),
        Just(r#""FLOW_COMPLETED""#.to_owned()),
        Just(r#""ACCOUNT_OPEN""#.to_owned()),
        json(1),
    ];
    (json(1), event_type, json(1), json(3), "\\PC{0,4}").prop_map(|(id, event_type, time, data, space)| {
        let space = space.chars().filter(char::is_ascii_whitespace).collect::<String>();
        format!(
            r#"{{{space}"event_id":{id},"id":{id},"event_type":{event_type},"type":{event_type},"event_date":{time},"timestamp":{time},"event_data":{data},"data":{data}}}"#
        )
    })
}

fn timestamp() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(()).prop_map(|()| now_s().to_string()),
        Just(()).prop_map(|()| (now_s() * 1000).to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u128>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        prop::sample::select(vec!["", "-1", "0", "1e9", "99999999999999999999", "0x5f", " 1700000000", "1700000000 "])
            .prop_map(str::to_owned),
        "\\PC{0,12}",
    ]
}

fn signature() -> impl Strategy<Value = String> {
    prop_oneof!["[0-9a-f]{64}", "[0-9a-fA-F]{0,130}", "[0-9a-f]{63}g", "sha256=[0-9a-f]{64}", "\\PC{0,70}"]
}

#[test]
fn whatever_is_not_signed_is_refused_and_never_an_error_of_ours() {
    let method = prop_oneof![9 => Just("POST".to_owned()), 1 => "\\PC{0,8}"];
    let path = prop_oneof![
        9 => provider().prop_map(|provider| format!("/webhooks/{provider}")),
        1 => "\\PC{0,20}",
    ];
    let header = prop_oneof![
        3 => signature().prop_map(|value| ("signature", value)),
        3 => timestamp().prop_map(|value| ("time", value)),
        1 => ("\\PC{0,20}").prop_map(|value| ("other", value)),
    ];
    let request = (provider(), method, path, vec(header, 0..6), body(), 0..3_u8);
    let statuses = over(&request, &async |bridge, (provider, method, path, headers, body, format)| {
        let (signature, time) = signed_parts(provider);
        let mut delivery = Delivery { provider, headers: Vec::new(), body: body.clone() };
        for (kind, value) in headers {
            match kind {
                "signature" => delivery = delivery.and(signature, &value),
                "time" => delivery = delivery.and(time, &value),
                _ => delivery.headers.push((value.clone(), value)),
            }
        }
        let headers = delivery.headers;
        let request = HttpRequest { method, path, query: String::new(), headers, body };
        let event: Value = match format {
            0 => http_api_event(&request),
            1 => with_base64_body(http_api_event(&request)),
            _ => rest_api_event(&request),
        };
        bridge.invoke(provider, &event).await.0
    });
    assert_eq!(statuses, [401, 404, 405, 413]);
}

#[test]
fn whatever_is_signed_is_kept_or_refused_and_never_an_error_of_ours() {
    let statuses = over(&(provider(), body()), &async |bridge, (provider, body)| {
        let answer = bridge.post(provider, body).await;
        bridge.settled().await;
        answer.status
    });
    assert_eq!(statuses, [200, 400, 413]);
}

#[tokio::test]
async fn the_costliest_bodies_are_answered_in_time_signed_or_not() {
    let bridge = Bridge::with(one_process).await;
    // Half of what is taken, since this build is ten times slower than the deployed one.
    let size = 1 << 17;
    let nested = |open: &str, close: &str| {
        let depth = (size - 2) / (open.len() + close.len());
        format!("{}{}{}", open.repeat(depth), "{}", close.repeat(depth))
    };
    let many = |member: &dyn Fn(usize) -> String| {
        let mut body = String::from("{\"a\":0");
        let mut n = 0;
        while body.len() < size - 400 {
            body.push(',');
            body.push_str(&member(n));
            n += 1;
        }
        body + "}"
    };
    let bodies = [
        ("deep arrays", nested("[", "]")),
        ("deep objects", nested("{\"a\":", "}")),
        ("arrays that do not end", "[".repeat(size)),
        ("many keys", many(&|n| format!("\"{n:x}k\":{n}"))),
        ("many keys backwards", many(&|n| format!("\"k{:07}\":{n}", 9_999_999 - n))),
        ("many integer-like keys", many(&|n| format!("\"{}\":{n}", 9_999_999 - n))),
        ("one key many times", many(&|_| "\"k\":1".to_owned())),
        ("long numbers", many(&|n| format!("\"{n}\":1{}e-300", "0".repeat(300)))),
        ("one long number", format!("{{\"a\":1{}}}", "7".repeat(size - 20))),
        ("many escapes", format!("{{\"a\":\"{}\"}}", "\\u0001".repeat(size / 6 - 20))),
        ("many lone surrogates", format!("{{\"a\":\"{}\"}}", "\\ud83d".repeat(size / 6 - 20))),
    ];
    for provider in RECEIVERS {
        bridge.post(provider, wanted(provider, "warm")).await;
        for (name, body) in &bodies {
            let unsigned = bridge.send(&Delivery::signed_by(provider, "no key of ours", body.clone())).await;
            let signed = bridge.post(provider, body.clone()).await;
            println!("{provider}, {name}: {:?} unsigned, {:?} signed: {}", unsigned.took, signed.took, signed.status);
            assert_eq!(unsigned.told(), UNAUTHORIZED, "{provider}, {name}");
            assert!([200, 400].contains(&signed.status), "{provider}, {name}: {}", signed.status);
            assert!(unsigned.took.max(signed.took) < ANSWER_BOUND, "{provider}, {name}");
        }
        assert_eq!(bridge.function(provider).cold_starts().len(), 1, "{provider}");
    }
}
