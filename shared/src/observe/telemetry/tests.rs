use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// What is written, kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What `log` writes while lines of `level` are.
fn written(level: LevelFilter, log: impl FnOnce()) -> String {
    let kept = Kept::default();
    let lines = tracing_subscriber::fmt().event_format(LambdaJson).with_max_level(level).with_writer(kept.clone());
    tracing::subscriber::with_default(lines.finish(), log);
    String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
}

/// The one line that `log` writes, without its timestamp.
#[track_caller]
fn line(log: impl FnOnce()) -> Json {
    let text = written(LevelFilter::INFO, log);
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let mut line: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
    assert_eq!(timestamp.as_str().unwrap().len(), "2025-02-05T19:37:52.114Z".len());
    line
}

fn context(request_id: &str, trace: Option<&str>) -> Context {
    let mut context = Context::default();
    context.request_id = request_id.to_owned();
    context.xray_trace_id = trace.map(str::to_owned);
    context
}

#[test]
fn a_line_has_lambda_s_names_and_is_json_whatever_is_in_its_fields() {
    let nasty = "a \"quote\", a \\, a\nline, \u{1} and \u{2028}";
    let whole = line(|| {
        tracing::warn!(
            event.id = nasty,
            error = %nasty,
            none = None::<&str>,
            attempts = 3_u32,
            behind = -4_i64,
            latency_ms = 3.1,
            no_number = f64::NAN,
            conflicting = true,
            "a sentence"
        );
    });
    let expected = json!({
        "level": "WARN", "message": "a sentence", "event.id": nasty, "error": nasty, "attempts": 3, "behind": -4,
        "latency_ms": 3.1, "no_number": null, "conflicting": true,
    });
    assert_eq!(whole, expected);
}

#[tokio::test]
async fn the_lines_of_an_invocation_bear_its_ids_and_no_other_s() {
    let trace = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1;Note=anything";
    let logging = async || line(|| tracing::info!("a sentence"));
    let one = InvocationIds::of(&context("one", Some(trace))).with(logging());
    let other = InvocationIds::of(&context("other", None)).with(logging());
    let (one, other) = futures_util::future::join(one, other).await;
    let expected = json!({
        "level": "INFO", "message": "a sentence",
        "requestId": "one", "traceId": "1-67891233-abcdef012345678912345678",
    });
    assert_eq!(one, expected);
    assert_eq!(other, json!({ "level": "INFO", "message": "a sentence", "requestId": "other" }));
    assert_eq!(line(|| tracing::info!("a sentence")), json!({ "level": "INFO", "message": "a sentence" }));
}

#[test]
fn only_a_trace_id_is_taken_from_a_header_that_strangers_may_write() {
    for (header, expected) in [
        ("Root=1-67891233-abcdef012345678912345678", Some("1-67891233-abcdef012345678912345678")),
        ("Self=1-2-3; Root=1-67891233-abcdef012345678912345678", Some("1-67891233-abcdef012345678912345678")),
        ("1-67891233-abcdef012345678912345678", None),
        ("Root=1-67891233-abcdef01234567891234567", None),
        ("Root=1-67891233-abcdef01234567891234567g", None),
        ("Root=2-67891233-abcdef012345678912345678", None),
        ("Root=a person's name", None),
        ("", None),
    ] {
        assert_eq!(trace_root(header), expected, "{header}");
    }
}
