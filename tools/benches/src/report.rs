//! The figures as two Markdown tables: what was measured, and what it means for the goals.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::measure::{COLD_STARTS, Figures, Function, Samples, WARM_EVENTS, Warm};

pub(crate) struct Report(pub(crate) Figures);

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(figures) = self;
        writeln!(
            f,
            "{COLD_STARTS} cold starts and {WARM_EVENTS} warm events of each kind, in turns, one at a time.\n"
        )?;
        measured(f, figures)?;
        writeln!(f)?;
        goals(f, figures)?;
        match &figures.earlier {
            Some((earlier, delivering)) => against_earlier(f, figures, earlier, delivering),
            None => Ok(()),
        }
    }
}

/// What has changed since an earlier build.
fn against_earlier(f: &mut Formatter<'_>, figures: &Figures, earlier: &Function, delivering: &Warm) -> fmt::Result {
    let Figures { rail, delivering: now_delivering, .. } = figures;
    let per_event = |of_all: Duration| of_all / u32::try_from(WARM_EVENTS).unwrap_or(u32::MAX);
    let rows = [
        ("spawn to first `next`, p50", earlier.to_next.median(), rail.to_next.median()),
        ("warm ack p50, ack only", earlier.warm.acks.median(), rail.warm.acks.median()),
        ("warm ack p50, with delivery", delivering.acks.median(), now_delivering.acks.median()),
        ("CPU per event, ack only", per_event(earlier.warm.cpu), per_event(rail.warm.cpu)),
        ("CPU per event, with delivery", per_event(delivering.cpu), per_event(now_delivering.cpu)),
    ];
    writeln!(f, "\n| | earlier | now | ratio |")?;
    writeln!(f, "|---|---|---|---|")?;
    for (name, earlier, now) in rows {
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        let ratio = micros(now) / micros(earlier);
        writeln!(f, "| {name} | {:.0} µs | {:.0} µs | {ratio:.3} |", micros(earlier), micros(now))?;
    }
    let (before, now) = (earlier.binary_bytes as f64, rail.binary_bytes as f64);
    writeln!(f, "| stripped binary | {:.2} MB | {:.2} MB | {:.3} |", before / 1e6, now / 1e6, now / before)
}

fn measured(f: &mut Formatter<'_>, figures: &Figures) -> fmt::Result {
    let Figures { hello, naive, rail, delivering, put_item, .. } = figures;
    let all = |figure: &dyn Fn(&Function) -> String| [hello, naive, rail].map(figure);
    let with_delivery = |figure: String| ["–".to_owned(), "–".to_owned(), figure];
    let two = |samples: &Samples, share| {
        format!("{} / {}", milliseconds(samples.median()), milliseconds(samples.quantile(share)))
    };
    let acks = |warm: &Warm| two(&warm.acks, 0.99);
    let cpu = |of_all: Duration| format!("{:.0} µs", microseconds_per_event(of_all));
    let rows = [
        ("spawn to first `next`, p50 / p90", all(&|function| two(&function.to_next, 0.9))),
        ("first event, p50 / p90", all(&|function| two(&function.first_event, 0.9))),
        ("spawn to first ack, p50 / p90", all(&|function| two(&function.to_first_ack, 0.9))),
        ("warm ack, p50 / p99", all(&|function| acks(&function.warm))),
        ("warm ack, frozen between events, p50 / p99", all(&|function| acks(&function.frozen))),
        ("warm ack of an event that is then delivered, p50 / p99", with_delivery(acks(delivering))),
        ("CPU per event, ack only", all(&|function| cpu(function.warm.cpu))),
        ("CPU per event, with delivery", with_delivery(cpu(delivering.cpu))),
        ("peak memory, ack only", all(&|function| megabytes(function.warm.peak_rss_bytes))),
        ("peak memory, with delivery", with_delivery(megabytes(delivering.peak_rss_bytes))),
        ("stripped binary", all(&|function| megabytes(function.binary_bytes))),
    ];
    writeln!(f, "| | hello: the floor | naive | `rail` |")?;
    writeln!(f, "|---|---|---|---|")?;
    for (name, [hello, naive, rail]) in rows {
        writeln!(f, "| {name} | {hello} | {naive} | {rail} |")?;
    }
    let put_item_cpu = cpu(figures.put_item_cpu);
    let put_item = two(put_item, 0.99);
    writeln!(f, "\nA bare PutItem by the same SDK and HTTP client: {put_item} (p50 / p99), {put_item_cpu} of CPU.")
}

fn goals(f: &mut Formatter<'_>, figures: &Figures) -> fmt::Result {
    let Figures { hello, naive, rail, delivering, put_item, .. } = figures;
    let ratio = |of: Duration, to: Duration| of.as_secs_f64() / to.as_secs_f64();
    let ack = rail.warm.acks.median();
    let hop = hello.warm.acks.median();
    let rows = [
        ("spawn to first `next`", "× the floor", 2.5, ratio(rail.to_next.median(), hello.to_next.median())),
        ("first event", "× naive", 0.6, ratio(rail.first_event.median(), naive.first_event.median())),
        ("warm ack p50", "× a bare PutItem", 1.15, ratio(ack, put_item.median())),
        (
            "the same without the floor's ack",
            "× a bare PutItem",
            1.15,
            ratio(ack.saturating_sub(hop), put_item.median()),
        ),
        ("CPU per event, ack only", "µs", 200.0, microseconds_per_event(rail.warm.cpu)),
        ("peak memory, with delivery", "MB", 12.0, in_megabytes(delivering.peak_rss_bytes)),
        ("stripped binary", "MB", 8.0, in_megabytes(rail.binary_bytes)),
    ];
    writeln!(f, "| goal | at most | measured | |")?;
    writeln!(f, "|---|---|---|---|")?;
    for (name, unit, at_most, measured) in rows {
        let verdict = if measured <= at_most { "reached" } else { "not reached" };
        writeln!(f, "| {name} | {at_most} {unit} | {measured:.2} | {verdict} |")?;
    }
    Ok(())
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

fn microseconds_per_event(of_all: Duration) -> f64 {
    of_all.as_secs_f64() * 1e6 / WARM_EVENTS as f64
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", in_megabytes(bytes))
}

fn in_megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
