//! Writes what was measured to standard output, in CloudWatch's embedded metric format.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::fmt::Write as _;
use std::io::Write as _;
use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};

use json::write_string;

use crate::clock::{Clock, UnixMillis};
use crate::observe::metrics::{COLD_START, Dimension, Entry, FUNCTION_NAME, Measurements, Metric, NAMESPACE};
use crate::observe::telemetry::{self, InvocationIds};

/// Writes the measurements of one process, one invocation at a time.
#[derive(Debug)]
pub struct Meter {
    function_name: String,
    clock: Clock,
    cold: AtomicBool,
}

/// CloudWatch's limit for values of one metric in one line.
const MAX_VALUES: usize = 100;

/// One line. It holds each metric once and one value per dimension; the rest goes to the next line.
#[derive(Default)]
struct Line<'m> {
    labels: Vec<(Dimension, &'m str)>,
    metrics: Vec<(Metric, &'m [f64])>,
}

impl Meter {
    pub fn new(function_name: String, clock: Clock) -> Self {
        Self { function_name, clock, cold: AtomicBool::new(true) }
    }

    /// Writes the lines of an invocation, whatever `LOG_LEVEL` says.
    pub fn write(&self, measured: Measurements) {
        // If standard output is gone, there is no place left to report it.
        let _ = std::io::stdout().lock().write_all(self.text(measured).as_bytes());
    }

    fn text(&self, mut measured: Measurements) -> String {
        if self.cold.swap(false, Ordering::Relaxed) {
            measured.count(COLD_START, 1);
        }
        text(&measured, &self.function_name, self.clock.now(), telemetry::invocation().as_ref())
    }
}

/// The lines of one invocation, each with its line feed: one, and one more for each further code and each further hundred
/// durations.
fn text(measured: &Measurements, function_name: &str, at: UnixMillis, invocation: Option<&InvocationIds>) -> String {
    let mut lines = vec![Line::default()];
    for entry in &measured.entries {
        for values in entry.values.chunks(MAX_VALUES) {
            let place = lines.iter().position(|line| line.has_room_for(entry));
            let place = place.unwrap_or_else(|| {
                lines.push(Line::default());
                lines.len() - 1
            });
            lines[place].put(entry, values);
        }
    }

    let mut text = String::with_capacity(1024 * lines.len());
    for (number, line) in lines.iter().enumerate() {
        line.write(&mut text, function_name, at);
        if number == 0 && !measured.at_least.is_empty() {
            let _ = write!(text, r#","atLeast":{:?}"#, measured.at_least);
        }
        if let Some(ids) = invocation {
            ids.write_members(&mut text);
        }
        text.push_str("}\n");
    }
    text
}

impl<'m> Line<'m> {
    fn has_room_for(&self, entry: &Entry) -> bool {
        let label_fits = entry.metric.dimension.is_none_or(|dimension| {
            self.labels.iter().all(|(of, label)| *of != dimension || Some(*label) == entry.label.as_deref())
        });
        label_fits && self.metrics.iter().all(|(metric, _)| metric.name != entry.metric.name)
    }

    fn put(&mut self, entry: &'m Entry, values: &'m [f64]) {
        if let Some(label) = entry.metric.dimension.zip(entry.label.as_deref()).filter(|it| !self.labels.contains(it)) {
            self.labels.push(label);
        }
        self.metrics.push((entry.metric, values));
    }

    /// All but the closing brace.
    fn write(&self, text: &mut String, function_name: &str, at: UnixMillis) {
        let _ = write!(text, r#"{{"_aws":{{"Timestamp":{},"CloudWatchMetrics":["#, at.0);
        let mut separator = "";
        for dimension in iter::once(None).chain(Dimension::ALL.map(Some)) {
            let mut metrics = self.metrics.iter().filter(|(metric, _)| metric.dimension == dimension).peekable();
            if metrics.peek().is_none() {
                continue;
            }
            // The sum over all values of a dimension is a metric of its own: alarms use it.
            let _ = write!(text, r#"{separator}{{"Namespace":"{NAMESPACE}","Dimensions":[["{FUNCTION_NAME}"]"#);
            if let Some(dimension) = dimension {
                let _ = write!(text, r#",["{FUNCTION_NAME}","{}"]"#, dimension.name());
            }
            text.push_str(r#"],"Metrics":["#);
            separator = "";
            for (metric, _) in metrics {
                let _ = write!(text, r#"{separator}{{"Name":"{}","Unit":"{}"}}"#, metric.name, metric.unit.name());
                separator = ",";
            }
            text.push_str("]}");
        }
        let _ = write!(text, r#"]}},"{FUNCTION_NAME}":"#);
        write_string(text, function_name);
        for (dimension, label) in &self.labels {
            let _ = write!(text, r#","{}":"#, dimension.name());
            write_string(text, label);
        }
        for (metric, values) in &self.metrics {
            let _ = write!(text, r#","{}":"#, metric.name);
            match values {
                [value] => {
                    let _ = write!(text, "{value}");
                }
                values => {
                    let _ = write!(text, "{values:?}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
