//! Logging: JSON lines on standard output, one for each delivery (`docs/logging.md`).

use std::fmt::{self, Debug, Write};

use lambda_runtime::Context;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;
use json::write_string;

/// Starts logging in this process; a second call changes nothing.
pub fn start(level: LevelFilter) {
    let lines = tracing_subscriber::fmt()
        .event_format(LambdaJson)
        .with_max_level(level)
        .finish()
        .with(filter_fn(may_be_written));
    // Only a second call fails; the settings of the first one stay.
    let _ = tracing::subscriber::set_global_default(lines);
}

/// The ids on every line of an invocation, under the names of Lambda's own JSON format.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvocationIds {
    request_id: String,
    /// The root of X-Ray's header only: the caller may have written the rest.
    trace_id: Option<String>,
}

tokio::task_local! {
    static INVOCATION: InvocationIds;
}

/// The current invocation; `None` outside of any.
pub fn invocation() -> Option<InvocationIds> {
    INVOCATION.try_with(Clone::clone).ok()
}

impl InvocationIds {
    pub fn of(context: &Context) -> Self {
        let trace_id = context.xray_trace_id.as_deref().and_then(trace_root).map(str::to_owned);
        Self { request_id: context.request_id.clone(), trace_id }
    }

    /// Runs the work of this invocation, so that its lines carry the ids.
    pub fn with<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        INVOCATION.scope(self, work)
    }

    /// Writes them as further members of a JSON object.
    pub fn write_members(&self, out: &mut String) {
        out.push_str(r#","requestId":"#);
        write_string(out, &self.request_id);
        if let Some(trace_id) = &self.trace_id {
            out.push_str(r#","traceId":"#);
            write_string(out, trace_id);
        }
    }
}

/// The trace id in `Root=1-67891233-abcdef012345678912345678;Parent=...;Sampled=1`, if it is well-formed.
fn trace_root(header: &str) -> Option<&str> {
    let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="))?;
    let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (time, unique) = root.strip_prefix("1-")?.split_once('-')?;
    (is_hex(time, 8) && is_hex(unique, 24)).then_some(root)
}

/// Formats lines as Lambda's managed runtimes do; tracing's own JSON has no place for the ids of an invocation.
struct LambdaJson;

impl<S, N> FormatEvent<S, N> for LambdaJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::with_capacity(512);
        let level = event.metadata().level();
        write!(line, r#"{{"timestamp":"{}","level":"{level}""#, Clock::system().now())?;
        let _ = INVOCATION.try_with(|ids| ids.write_members(&mut line));
        event.record(&mut Members(&mut line));
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// Writes each field as a further member of a JSON object.
struct Members<'l>(&'l mut String);

impl Members<'_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut String)) {
        self.0.push(',');
        write_string(self.0, field.name());
        self.0.push(':');
        value(self.0);
    }

    fn number(&mut self, field: &Field, value: impl fmt::Display) {
        self.member(field, |out| {
            let _ = write!(out, "{value}");
        });
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.number(field, value),
            // JSON has no infinity and no NaN.
            false => self.number(field, "null"),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |out| write_string(out, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, |out| write_string(out, &format!("{value:?}")));
    }
}

/// False for lines of libraries below `info`, whatever the level: the runtime logs whole events there, and the AWS SDK whole
/// secrets.
fn may_be_written(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO || line.target().starts_with(concat!(env!("CARGO_CRATE_NAME"), "::"))
}

#[cfg(test)]
mod tests;
