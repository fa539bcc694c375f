//! The figures as Markdown tables: what was measured, each with its ratio to the bridge, and what it means for the goals.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::measure::{
    COLD_STARTS, EVENTS_PER_TURN, Figures, Function, INTERPRETER_STARTS, PAUSE, PAUSED_PER_TURN, Samples, Subject,
    TURNS, Warm,
};

pub(crate) struct Report {
    pub(crate) figures: Figures,
    /// The largest of the bridge's binaries.
    pub(crate) largest_binary_bytes: u64,
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { figures, largest_binary_bytes } = self;
        writeln!(
            f,
            "{COLD_STARTS} cold starts ({INTERPRETER_STARTS} of an interpreter), {} warm events one right after the other, and {} \
             with {} ms before each; all in turns. Medians, and beside each how many times the bridge's it is.",
            TURNS * EVENTS_PER_TURN,
            TURNS * PAUSED_PER_TURN,
            PAUSE.as_millis(),
        )?;
        for left_out in &figures.left_out {
            writeln!(f, "{left_out}")?;
        }
        plain(f, figures)?;
        tls(f, figures)?;
        goals(f, figures, *largest_binary_bytes)?;
        match (&figures.earlier, &figures.earlier_delivering) {
            (Some(earlier), Some(delivering)) => against_earlier(f, figures, earlier, delivering),
            _ => Ok(()),
        }
    }
}

/// A column: its head, what it shows of a row, and in which unit.
struct Column<T>(&'static str, fn(&T) -> f64, Unit);

enum Unit {
    Milliseconds,
    Megabytes,
}

impl Unit {
    fn show(&self, value: f64) -> String {
        match self {
            Self::Milliseconds if value < 1.0 => format!("{:.0} µs", value * 1e3),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Megabytes => format!("{value:.1} MB"),
        }
    }
}

fn plain(f: &mut Formatter<'_>, figures: &Figures) -> fmt::Result {
    let columns: [Column<Subject>; 7] = [
        Column("first `next`", |it| ms(it.plain.to_next.median()), Unit::Milliseconds),
        Column("first ack", |it| ms(it.plain.to_first_ack.median()), Unit::Milliseconds),
        Column("warm ack", |it| ms(it.plain.warm.acks.median()), Unit::Milliseconds),
        Column("CPU per event, hot loop", |it| ms(it.plain.warm.cpu.median()), Unit::Milliseconds),
        Column("CPU per event, with pauses", |it| ms(it.plain.paused.cpu.median()), Unit::Milliseconds),
        Column("peak memory", |it| mb(it.plain.warm.peak_rss_bytes), Unit::Megabytes),
        Column("size", |it| mb(it.bytes), Unit::Megabytes),
    ];
    writeln!(f, "\nPlain HTTP:\n")?;
    table(
        f,
        "",
        &columns,
        figures.subjects().map(|subject| (&*subject.name, String::new(), subject)),
        &figures.bridge,
    )?;

    let Figures { delivering, put_item, put_item_cpu, .. } = figures;
    writeln!(
        f,
        "\nWarm ack of the bridge, p99: {:.2} ms. With one delivery after the ack: {} (p99 {:.2} ms), {} of CPU, {:.1} MB. A bare \
         PutItem by the SDK over `reqwest`: {}, {} of CPU.",
        ms(figures.bridge.plain.warm.acks.quantile(0.99)),
        Unit::Milliseconds.show(ms(delivering.acks.median())),
        ms(delivering.acks.quantile(0.99)),
        Unit::Milliseconds.show(ms(delivering.cpu.median())),
        mb(delivering.peak_rss_bytes),
        Unit::Milliseconds.show(ms(put_item.median())),
        Unit::Milliseconds.show(ms(put_item_cpu.median())),
    )
}

fn tls(f: &mut Formatter<'_>, figures: &Figures) -> fmt::Result {
    let Some(bridge) = &figures.bridge.tls else { return Ok(()) };
    let columns: [Column<Function>; 6] = [
        Column("first `next`", |it| ms(it.to_next.median()), Unit::Milliseconds),
        Column("first ack", |it| ms(it.to_first_ack.median()), Unit::Milliseconds),
        Column("CPU to there", |it| ms(it.first_cpu.median()), Unit::Milliseconds),
        Column("warm ack", |it| ms(it.warm.acks.median()), Unit::Milliseconds),
        Column("CPU per event, hot loop", |it| ms(it.warm.cpu.median()), Unit::Milliseconds),
        Column("CPU per event, with pauses", |it| ms(it.paused.cpu.median()), Unit::Milliseconds),
    ];
    writeln!(f, "\nAWS over TLS; connections to it before the first `next` / before the first ack:\n")?;
    let rows = figures.subjects().filter_map(|subject| {
        let function = subject.tls.as_ref()?;
        let (before_next, before_ack) = function.connections;
        Some((&*subject.name, format!(" {before_next} / {before_ack} |"), function))
    });
    table(f, " connections |", &columns, rows, bridge)
}

fn table<'a, T: 'a>(
    f: &mut Formatter<'_>,
    further_head: &str,
    columns: &[Column<T>],
    rows: impl Iterator<Item = (&'a str, String, &'a T)>,
    bridge: &T,
) -> fmt::Result {
    write!(f, "| |{further_head}")?;
    for Column(head, ..) in columns {
        write!(f, " {head} |")?;
    }
    write!(f, "\n|{}", "---|".repeat(1 + usize::from(!further_head.is_empty()) + columns.len()))?;
    for (name, further, row) in rows {
        write!(f, "\n| {name} |{further}")?;
        for Column(_, value, unit) in columns {
            let (value, bridge) = (value(row), value(bridge));
            write!(f, " {}, {:.2} |", unit.show(value), value / bridge)?;
        }
    }
    writeln!(f)
}

/// What is to be reached: at most or at least so much.
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

fn goals(f: &mut Formatter<'_>, figures: &Figures, largest_binary_bytes: u64) -> fmt::Result {
    let Figures { floor, limit, bridge, node, python, delivering, put_item, .. } = figures;
    let paused = |subject: &Subject| ms(subject.plain.paused.cpu.median());
    let ack = bridge.plain.warm.acks.median().saturating_sub(floor.plain.warm.acks.median());
    let start = ms(bridge.plain.to_next.median()) / ms(floor.plain.to_next.median());
    let memory = mb(delivering.peak_rss_bytes);
    let rows = [
        ("first `next`", "× the floor's", Goal::AtMost(2.3), Some(start)),
        (
            "connections to AWS before it",
            "",
            Goal::AtMost(2.0),
            bridge.tls.as_ref().map(|function| function.connections.0 as f64),
        ),
        ("CPU per event with pauses", "× the limit's", Goal::AtMost(2.7), Some(paused(bridge) / paused(limit))),
        ("Node's", "× the bridge's", Goal::AtLeast(9.0), node.as_ref().map(|node| paused(node) / paused(bridge))),
        (
            "Python's",
            "× the bridge's",
            Goal::AtLeast(7.0),
            python.as_ref().map(|python| paused(python) / paused(bridge)),
        ),
        ("warm ack without the floor's", "× a bare PutItem", Goal::AtMost(1.15), Some(ms(ack) / ms(put_item.median()))),
        ("peak memory, with delivery", "MB", Goal::AtMost(12.0), Some(memory)),
        ("each binary", "MB", Goal::AtMost(6.0), Some(mb(largest_binary_bytes))),
    ];
    writeln!(f, "\n| goal | | measured | |\n|---|---|---|---|")?;
    for (name, unit, goal, measured) in rows {
        let Some(measured) = measured else { continue };
        let (bound, is_reached) = match goal {
            Goal::AtMost(bound) => (format!("at most {bound} {unit}"), measured <= bound),
            Goal::AtLeast(bound) => (format!("at least {bound} {unit}"), measured >= bound),
        };
        let verdict = if is_reached { "reached" } else { "**not reached**" };
        writeln!(f, "| {name} | {} | {measured:.2} | {verdict} |", bound.trim_end())?;
    }
    Ok(())
}

/// What has changed since an earlier build.
fn against_earlier(f: &mut Formatter<'_>, figures: &Figures, earlier: &Subject, delivering: &Warm) -> fmt::Result {
    let Figures { bridge, delivering: now_delivering, .. } = figures;
    let tls = |figure: fn(&Function) -> &Samples| [earlier, bridge].map(|it| it.tls.as_ref().map(figure));
    let rows = [
        ("first `next`", [earlier, bridge].map(|it| Some(&it.plain.to_next))),
        ("first `next`, TLS", tls(|it| &it.to_next)),
        ("CPU to the first ack, TLS", tls(|it| &it.first_cpu)),
        ("warm ack, ack only", [earlier, bridge].map(|it| Some(&it.plain.warm.acks))),
        ("warm ack, with delivery", [delivering, now_delivering].map(|it| Some(&it.acks))),
        ("CPU per event, ack only", [earlier, bridge].map(|it| Some(&it.plain.warm.cpu))),
        ("CPU per event, with pauses", [earlier, bridge].map(|it| Some(&it.plain.paused.cpu))),
        ("CPU per event, TLS", tls(|it| &it.warm.cpu)),
        ("CPU per event, with delivery", [delivering, now_delivering].map(|it| Some(&it.cpu))),
    ];
    writeln!(f, "\n| | earlier | now | ratio |\n|---|---|---|---|")?;
    for (name, samples) in rows {
        let [Some(earlier), Some(now)] = samples.map(|samples| samples.map(|samples| ms(samples.median()))) else {
            continue;
        };
        writeln!(f, "| {name} | {:.0} µs | {:.0} µs | {:.3} |", earlier * 1e3, now * 1e3, now / earlier)?;
    }
    for (name, bytes) in [
        ("peak memory, with delivery", [delivering.peak_rss_bytes, now_delivering.peak_rss_bytes]),
        ("size", [earlier.bytes, bridge.bytes]),
    ] {
        let [earlier, now] = bytes.map(mb);
        writeln!(f, "| {name} | {earlier:.2} MB | {now:.2} MB | {:.3} |", now / earlier)?;
    }
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
