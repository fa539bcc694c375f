//! `bridge dev --chaos`: the samples through a [storm](local::storm), and its tally in words.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use fastrand::Rng;
use indicatif::{ProgressBar, ProgressStyle};
use local::delivery::key_of;
use local::samples::Sample;
use local::stack::{FUNCTIONS, Stack};
use local::storm::{Cause, Event, Progress, Storm, Tally, WAVES, Wave};
use operator::OperatorError;
use operator::error::with_causes;

use crate::delivery::with_fresh_id;
use crate::dev::watch;
use crate::terminal::out;

/// Sends `count` events through the storm and prints its tally.
pub(super) async fn run(stack: &Stack, samples: &[Sample], count: u32, seed: u64) -> Result<(), OperatorError> {
    let began = Instant::now();
    let events = events(samples, count, seed)?;
    let bar = progress_bar(events.len());
    out!("{count} events in {WAVES} waves, with seed {seed}.");

    let printed = RefCell::default();
    let storm = Storm {
        stack,
        events,
        once: samples.iter().flat_map(|sample| sample.expected.skips.clone()).collect(),
        seed,
        progress: &|progress| match progress {
            Progress::Acknowledged => bar.inc(1),
            Progress::WaveEnded(wave) => bar.suspend(|| out!("{}", wave_line(&wave))),
            Progress::Healed => bar.suspend(|| out!("Everything works again.")),
            Progress::Redriven(answer) => {
                let line = match answer {
                    Ok(counts) => watch::summary(counts).unwrap_or_else(|| format!("redrive did nothing: {counts}")),
                    Err(error) => format!("redrive failed: {}", with_causes(error)),
                };
                if printed.replace(line.clone()) != line {
                    bar.suspend(|| out!("{line}"));
                }
            }
        },
    };
    let tally = storm.run().await.map_err(|error| {
        OperatorError::outside(with_causes(&error), "the embedded table must work: report this as a bug")
    })?;
    bar.finish_and_clear();
    print(&tally, began.elapsed());
    let again =
        format!("`bridge dev --chaos --events {count} --seed {seed} --logs` shows the log lines of the functions");
    tally.verdict().map_err(|problem| OperatorError::refused(problem, again))
}

/// The samples that a route delivers, in turn, each with an id of its own.
fn events(samples: &[Sample], count: u32, seed: u64) -> Result<Vec<Event>, OperatorError> {
    let mut rng = Rng::with_seed(seed);
    let mut wanted: Vec<_> = samples.iter().filter(|sample| !sample.expected.delivers.is_empty()).collect();
    let nothing = || {
        OperatorError::usage(
            "No route matches any of the sample events",
            "`events/expected.toml` must name the messages that are delivered",
        )
    };
    // All providers from the start, not one after the other.
    rng.shuffle(&mut wanted);
    if wanted.is_empty() {
        return Err(nothing());
    }
    let samples = wanted.into_iter().cycle().take(usize::try_from(count).unwrap_or(usize::MAX));
    samples
        .map(|Sample { provider, body, expected, .. }| {
            let body = with_fresh_id(provider, body, &mut rng)?;
            let routes = expected.delivers.keys().chain(&expected.skips).cloned().collect();
            let pk = key_of(provider, &body).ok_or_else(nothing)?;
            Ok(Event { provider, pk, body: body.into(), routes })
        })
        .collect()
}

/// Shown on a terminal only; elsewhere the printed lines show the progress.
fn progress_bar(events: usize) -> ProgressBar {
    // Does not draw at all when standard error is no terminal.
    let bar = ProgressBar::new(u64::try_from(events).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {pos} of {len} acknowledged") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn wave_line(wave: &Wave) -> String {
    format!(
        "wave {}: {} of {} acknowledged; {} events left to redrive, {} after it; {} processes killed",
        wave.number, wave.acknowledged, wave.sent, wave.pending_before_redrive, wave.pending_after_redrive, wave.killed,
    )
}

fn print(tally: &Tally, took: Duration) {
    let line = |name: &str, count: usize, remark: &str| out!("{name:<14}{count:>7}  {remark}");
    let killed = |function: &str| tally.killed.get(function).copied().unwrap_or_default();
    let killed_by_function = FUNCTIONS.map(|name| format!("{} {name}", killed(name))).join(", ");
    let cause = |cause: Cause| tally.duplicates.get(&cause).copied().unwrap_or_default();
    let explained: usize = tally.duplicates.values().sum();
    let explained_by = format!(
        "{} answer lost, {} process killed, {} outcome not written, {} unexplained",
        cause(Cause::Answer),
        cause(Cause::Killed),
        cause(Cause::Settling),
        tally.unexplained.len(),
    );
    out!("");
    line("acknowledged", tally.acknowledged, &format!("of {}; {} not at once", tally.sent, tally.acknowledged_late));
    line("delivered", tally.delivered, "");
    line("dead", tally.dead, "rejected permanently");
    line("skipped", tally.skipped, "by `once_per`: the route has already delivered to the customer");
    line("lost", tally.lost.len(), "");
    line("messages", tally.messages, &format!("accepted by Returning.AI, in {} calls", tally.calls));
    line("duplicates", explained + tally.unexplained.len(), &explained_by);
    line("inconsistent", tally.inconsistent.len(), "the body differs between calls for the same event");
    line("killed", tally.killed.values().sum(), &killed_by_function);
    line("table faults", tally.table_faults, &format!("in {:.0} s", took.as_secs_f64()));
    for (pk, described) in &tally.lost {
        out!("✗ lost: {pk}: {described}");
    }
    for (what, pks) in [("not acknowledged", &tally.refused), ("sent again without a reason", &tally.unexplained)] {
        for pk in pks {
            out!("✗ {what}: {pk}");
        }
    }
    for pk in &tally.inconsistent {
        out!("✗ inconsistent: {pk}");
    }
    for of_customer in &tally.not_once {
        out!("✗ not once: {of_customer}");
    }
}
