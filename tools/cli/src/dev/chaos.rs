//! `bridge dev --chaos`: everything fails for a while, then heals; no acknowledged event may be lost.
//!
//! In waves: events are sent, several at a time, by providers that send again what was not acknowledged; redrive runs
//! twice at once. Meanwhile Returning.AI and DynamoDB fail and function processes are killed. Nobody waits for the retry
//! plan's minutes: once no function works on anything, what is pending is made due ([`Stack::make_due`]).

use std::convert::Infallible;
use std::future::Future;
use std::io::IsTerminal;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use futures_util::future::join;
use futures_util::{TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use local::aws::AwsFault;
use local::faults::When;
use local::lambda_host::AtWork;
use local::returning_ai::Fault;
use local::stack::{FUNCTIONS, Stack};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::delivery::Sender;
use crate::dev::watch;
use crate::failure::{Failure, with_causes};
use crate::samples::Sample;
use crate::send::with_fresh_id;

use self::tally::{Evidence, Tally};

mod tally;

/// One event on its way to the bridge.
struct Outgoing {
    /// With an id of its own.
    sample: Sample,
    pk: String,
    rng: Rng,
    times_sent: u32,
    acknowledged: bool,
}

/// A process that was killed at work.
struct Interruption {
    function: &'static str,
    /// The event it had; `None` for redrive, which has many.
    pk: Option<String>,
    since: SystemTime,
    at: SystemTime,
}

/// Makes things go wrong.
struct Wrecker<'s> {
    stack: &'s Stack,
    rng: Rng,
    interruptions: Vec<Interruption>,
}

/// The storm comes in so many waves, however many events there are.
const WAVES: usize = 4;

/// Deliveries under way at a time.
const AT_ONCE: usize = 8;

/// A provider gives an answer this long (Rail's own limit), and sends again so many times while the storm lasts.
const PROVIDER_WAITS: Duration = Duration::from_secs(5);
const PROVIDER_SENDS: u32 = 8;

/// One acknowledged event in so many is delivered again all the same, as both providers may do.
const REDELIVERED: u32 = 16;

/// Functions that have not come to rest after this are killed, so that the storm does not last for minutes. In the first
/// wave a call that hangs is left to run into its time limit of 8 s.
const PATIENCE: Duration = Duration::from_secs(2);
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// How often redrive runs, two at once, before the next wave.
const REDRIVES_A_WAVE: usize = 2;

/// Milliseconds between two misfortunes: while events are sent, and while redrive runs, whose one process has many.
const WHILE_SENDING: Range<u64> = 10..100;
const WHILE_REDRIVING: Range<u64> = 100..700;

/// How long a slow body of Returning.AI's takes: within what the bridge waits for, and time enough to be killed in.
const SLOW_BODY: Duration = Duration::from_millis(300);

/// Once everything works, a run or two settle everything: what a killed redrive had under way may hold a lease again.
const MOST_REDRIVES: usize = 20;

/// The storm over Returning.AI: what, and in how many of a thousand calls. None of it is a refusal for good.
const RETURNING_AI_FAULTS: [(Fault, u32); 13] = [
    (Fault::Status(500), 40),
    (Fault::Status(503), 20),
    (Fault::Status(404), 10),
    (Fault::Status(401), 20),
    (Fault::RevokeTokens, 25),
    (Fault::Hang, 4),
    (Fault::Reset, 30),
    (Fault::ResetAfterAccept, 30),
    (Fault::Garbage, 25),
    (Fault::GarbageBody, 30),
    (Fault::SuccessFalse, 25),
    (Fault::WrongContentType, 25),
    (Fault::SlowBody(SLOW_BODY), 50),
];

/// The same over DynamoDB. `Slow` takes longer than the bridge gives a call, so the write takes effect and is repeated.
const DYNAMODB_FAULTS: [(AwsFault, u32); 6] = [
    (AwsFault::Throttle, 40),
    (AwsFault::InternalError, 15),
    (AwsFault::Refuse, 20),
    (AwsFault::ResetAfter, 30),
    (AwsFault::Hang, 2),
    (AwsFault::Slow(Duration::from_millis(1_200)), 3),
];

/// Sends `count` events through the storm and says what became of them.
pub(super) async fn run(stack: &Stack, samples: &[Sample], count: u32, seed: u64) -> Result<(), Failure> {
    let began = Instant::now();
    let mut rng = Rng::with_seed(seed);
    let mut events = outgoing(samples, count, &mut rng)?;
    let mut wrecker = Wrecker { stack, rng: rng.fork(), interruptions: Vec::new() };
    let bar = progress(events.len());
    println!("{count} events in {WAVES} waves, with seed {seed}.");

    let size = events.len().div_ceil(WAVES);
    for (number, wave) in events.chunks_mut(size).enumerate() {
        let patience = if number == 0 { FIRST_PATIENCE } else { PATIENCE };
        let left = self::wave(stack, wave, &mut wrecker, patience, &bar).await?;
        let acknowledged = wave.iter().filter(|event| event.acknowledged).count();
        let line = format!(
            "wave {}: {acknowledged} of {} acknowledged; {left} events left to redrive, {} after it; {} processes killed",
            number + 1,
            wave.len(),
            pending(stack)?,
            wrecker.interruptions.len(),
        );
        bar.suspend(|| println!("{line}"));
    }

    stack.returning_ai.clear_faults();
    stack.dynamodb.clear_faults();
    bar.suspend(|| println!("Everything works again."));
    let late: Vec<_> = events.iter_mut().filter(|event| !event.acknowledged).collect();
    deliver(stack, late, &bar).await?;
    redrive_until_settled(stack, &bar).await?;
    bar.finish_and_clear();

    let evidence = Evidence {
        items: stack.dynamodb.items(),
        calls: stack.returning_ai.attempts(),
        interruptions: &wrecker.interruptions,
        strikes: stack.dynamodb.strikes(),
    };
    let tally = Tally::of(&events, &evidence);
    tally.print(&evidence, began.elapsed());
    let again = format!("`bridge dev --chaos --events {count} --seed {seed} --logs` shows the functions' own words");
    tally.verdict().map_err(|problem| Failure::refused(problem, again))
}

/// Samples that some route wants, in turn, each with an id of its own.
fn outgoing(samples: &[Sample], count: u32, rng: &mut Rng) -> Result<Vec<Outgoing>, Failure> {
    let mut wanted: Vec<_> = samples.iter().filter(|sample| !sample.expected.delivers.is_empty()).collect();
    let nothing =
        || Failure::usage("no route wants any of the sample events", "events/expected.toml must say what is delivered");
    // Both providers from the start, not one after the other.
    rng.shuffle(&mut wanted);
    if wanted.is_empty() {
        return Err(nothing());
    }
    let samples = wanted.into_iter().cycle().take(usize::try_from(count).unwrap_or(usize::MAX));
    samples
        .map(|sample| {
            let body = with_fresh_id(sample.sender, &sample.body, rng)?;
            let sample =
                Sample { name: sample.name.clone(), sender: sample.sender, body, expected: sample.expected.clone() };
            let pk = sample.pk().ok_or_else(nothing)?;
            Ok(Outgoing { sample, pk, rng: rng.fork(), times_sent: 0, acknowledged: false })
        })
        .collect()
}

/// Sends a wave's events, then has redrive take over what is left; how much that was.
async fn wave(
    stack: &Stack,
    events: &mut [Outgoing],
    wrecker: &mut Wrecker<'_>,
    patience: Duration,
    bar: &ProgressBar,
) -> Result<usize, Failure> {
    wrecker.begin_storm();
    tokio::select! {
        sent = deliver(stack, events.iter_mut().collect(), bar) => sent?,
        never = wrecker.wreck(WHILE_SENDING) => match never {},
    }
    wrecker.until_rest(std::future::ready(()), patience, None).await;
    let left = pending(stack)?;
    for _ in 0..REDRIVES_A_WAVE {
        make_due(stack).await?;
        wrecker.begin_storm();
        let redrives = async {
            // What a killed one leaves behind, the next takes over.
            let _ = join(stack.redrive(json!({})), stack.redrive(json!({}))).await;
        };
        wrecker.until_rest(redrives, PATIENCE, Some(WHILE_REDRIVING)).await;
    }
    Ok(left)
}

/// Delivers as the providers do: several at a time, again what was not acknowledged.
async fn deliver(stack: &Stack, events: Vec<&mut Outgoing>, bar: &ProgressBar) -> Result<(), Failure> {
    stream::iter(events.into_iter().map(Ok))
        .try_for_each_concurrent(AT_ONCE, |event| async move {
            event.deliver(stack).await?;
            bar.inc(u64::from(event.acknowledged));
            Ok(())
        })
        .await
}

async fn redrive_until_settled(stack: &Stack, bar: &ProgressBar) -> Result<(), Failure> {
    let mut told = String::new();
    for _ in 0..MOST_REDRIVES {
        if make_due(stack).await? == 0 {
            return Ok(());
        }
        let line = match stack.redrive(json!({})).await {
            Ok(counts) => watch::summary(&counts).unwrap_or_else(|| format!("redrive did nothing: {counts}")),
            Err(error) => format!("redrive failed: {}", with_causes(&error)),
        };
        if line != told {
            bar.suspend(|| println!("{line}"));
        }
        told = line;
    }
    Ok(())
}

async fn make_due(stack: &Stack) -> Result<usize, Failure> {
    stack.make_due().await.map_err(|error| table_failure(&error))
}

fn pending(stack: &Stack) -> Result<usize, Failure> {
    Ok(stack.dynamodb.pending().map_err(|error| table_failure(&error))?.len())
}

fn table_failure(error: &dyn std::error::Error) -> Failure {
    Failure::outside(with_causes(error), "the embedded table does not work; please report this")
}

/// On a terminal; elsewhere the lines alone tell how far it is.
fn progress(events: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(events).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {pos} of {len} acknowledged") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Outgoing {
    async fn deliver(&mut self, stack: &Stack) -> Result<(), Failure> {
        for _ in 0..PROVIDER_SENDS {
            self.acknowledged = self.send(stack).await?;
            if self.acknowledged {
                break;
            }
            sleep(Duration::from_millis(self.rng.u64(50..300))).await;
        }
        if self.acknowledged && self.rng.u32(..REDELIVERED) == 0 {
            self.send(stack).await?;
        }
        Ok(())
    }

    /// One delivery, signed anew; whether it was acknowledged.
    async fn send(&mut self, stack: &Stack) -> Result<bool, Failure> {
        self.times_sent += 1;
        let sender = self.sample.sender;
        let key = match sender {
            Sender::Rail => local::stack::RAIL_SAMPLE_KEY,
            Sender::Rillis => local::stack::RILLIS_SAMPLE_KEY,
        };
        let headers = sender.signed_headers(&self.sample.body, key)?;
        let answered = timeout(PROVIDER_WAITS, stack.send(sender.name(), &headers, self.sample.body.clone())).await;
        Ok(matches!(answered, Ok(Ok((200, _)))))
    }
}

impl Wrecker<'_> {
    /// Nothing is certain from here on. What is left of earlier misfortunes is over.
    fn begin_storm(&mut self) {
        let Self { stack, rng, .. } = self;
        let mut sometimes =
            |thousandths: u32| When::Sometimes { probability: f64::from(thousandths) / 1000.0, seed: rng.u64(..) };
        stack.returning_ai.clear_faults();
        for (fault, thousandths) in RETURNING_AI_FAULTS {
            stack.returning_ai.inject(None, fault, sometimes(thousandths));
        }
        let retry_after = Fault::RetryAfter { status: 429, after: "2".to_owned() };
        stack.returning_ai.inject(None, retry_after, sometimes(30));
        stack.dynamodb.clear_faults();
        for (fault, thousandths) in DYNAMODB_FAULTS {
            stack.dynamodb.inject(None, fault, sometimes(thousandths));
        }
    }

    /// One misfortune after the other, so many milliseconds apart.
    async fn wreck(&mut self, every_ms: Range<u64>) -> Infallible {
        loop {
            sleep(Duration::from_millis(self.rng.u64(every_ms.clone()))).await;
            self.misfortune();
        }
    }

    fn misfortune(&mut self) {
        let stack = self.stack;
        match self.rng.u32(..10) {
            // Longer than the bridge's own three tries: an event cannot be recorded, an outcome cannot be written.
            0 => stack.dynamodb.inject(Some("PutItem"), AwsFault::Refuse, When::Next(8)),
            1 => stack.dynamodb.inject(Some("UpdateItem"), AwsFault::Throttle, When::Next(8)),
            2 => stack.returning_ai.inject(None, Fault::Status(503), When::Next(12)),
            _ => {
                let function = FUNCTIONS[self.rng.usize(..FUNCTIONS.len())];
                let draw = self.rng.usize(..);
                self.kill(function, draw);
            }
        }
    }

    /// Kills a process of this function that is at work, if there is one.
    fn kill(&mut self, function: &'static str, draw: usize) -> bool {
        let killed = self.stack.function(function).and_then(|host| host.interrupt(draw));
        if let Some(at_work) = &killed {
            let interruption =
                Interruption { function, pk: event_of(function, at_work), since: at_work.since, at: SystemTime::now() };
            self.interruptions.push(interruption);
        }
        killed.is_some()
    }

    /// Returns when `work` is done and the functions are at rest; kills whoever is not after `patience`. Things go wrong
    /// meanwhile if it is said how often.
    async fn until_rest(&mut self, work: impl Future<Output = ()>, patience: Duration, every_ms: Option<Range<u64>>) {
        let stack = self.stack;
        let rest = async {
            work.await;
            stack.settled().await;
        };
        let impatience = async {
            match every_ms {
                Some(every_ms) => drop(timeout(patience, self.wreck(every_ms)).await),
                None => sleep(patience).await,
            }
            loop {
                for function in FUNCTIONS {
                    while self.kill(function, 0) {}
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = rest => {}
            () = impatience => {}
        }
    }
}

/// The key of the event that a receiving function was given.
fn event_of(function: &str, at_work: &AtWork) -> Option<String> {
    let sender = Sender::named(function)?;
    let request: Value = serde_json::from_slice(&at_work.event).ok()?;
    let body: Value = serde_json::from_str(request.get("body")?.as_str()?).ok()?;
    let id = body.get(match sender {
        Sender::Rail => "event_id",
        Sender::Rillis => "id",
    })?;
    Some(format!("{}#{}", sender.name(), id.as_str()?))
}
