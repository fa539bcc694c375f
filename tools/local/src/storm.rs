//! A storm over the whole bridge: everything fails for a while, then heals; no acknowledged event may be lost.
//!
//! In waves: events are sent, several at a time, by providers that send again what was not acknowledged; redrive runs
//! twice at once. Meanwhile Returning.AI and DynamoDB fail and function processes are killed. No test waits for the retry
//! plan's minutes: once no function has work, what is pending is made due ([`Stack::make_due`]).
//!
//! `bridge dev --chaos` prints the [`Tally`], a test asserts it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::pending;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::time::{sleep, timeout};

pub use self::event::Event;
use self::event::{Interruption, Outgoing};
use self::tally::Evidence;
pub use self::tally::{Cause, Tally};
use crate::aws::AwsFault;
use crate::delivery::signed_headers;
use crate::dynamodb::DynamoDbError;
use crate::faults::When;
use crate::lambda_host::{BusyProcess, InvokeError};
use crate::returning_ai::Fault;
use crate::stack::{RECEIVERS, REDRIVE, Stack, sample_key};

mod event;
mod tally;

/// What goes through the storm, and what it needs to know of it.
pub struct Storm<'s> {
    pub stack: &'s Stack,
    pub events: Vec<Event>,
    /// The routes that deliver one event of each customer only.
    pub once: BTreeSet<String>,
    /// What goes wrong when; the same again as far as processes that run side by side allow.
    pub seed: u64,
    /// Called with the progress of the storm.
    pub progress: &'s dyn Fn(Progress<'_>),
}

/// How far a storm is.
#[derive(Debug)]
pub enum Progress<'p> {
    /// One more event is acknowledged.
    Acknowledged,
    WaveEnded(Wave),
    /// From now on everything works.
    Healed,
    /// A run of redrive after that, and its answer.
    Redriven(&'p Result<Value, InvokeError>),
}

/// One wave, in events unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Wave {
    /// The first is 1.
    pub number: usize,
    pub sent: usize,
    pub acknowledged: usize,
    pub pending_before_redrive: usize,
    pub pending_after_redrive: usize,
    /// Processes, in all waves so far.
    pub killed: usize,
}

/// A storm under way.
struct Run<'s> {
    storm: &'s Storm<'s>,
    stack: &'s Stack,
    interruptions: RefCell<Vec<Interruption>>,
}

/// However many events there are.
pub const WAVES: usize = 4;

/// Deliveries under way at a time.
const AT_ONCE: usize = 16;

/// A provider gives an answer this long (Rail's own limit), and sends again so many times while the storm lasts.
const PROVIDER_WAITS: Duration = Duration::from_secs(5);
const PROVIDER_SENDS: u32 = 8;

/// One acknowledged event of this many is delivered again, as both providers may do.
const REDELIVERED: u32 = 16;

/// One answer of this many is followed by an accident: a process is killed, or a system is down for a while.
const MISFORTUNE_ONE_IN: u32 = 10;

/// How many redrives are killed at work, two of which run at once: in the first redrive of a wave, in the second.
const KILLS_OF_REDRIVE: [usize; 2] = [2, 1];

/// How long a slow body of Returning.AI's takes: within what the bridge waits for, and time enough to be killed in.
const SLOW_BODY: Duration = Duration::from_millis(300);

/// Once everything works, a run or two settle everything: what a killed redrive had under way may hold a lease again.
const MOST_REDRIVES: usize = 20;

/// The storm over Returning.AI: what, and in how many of a thousand calls. None of it is a permanent refusal.
const RETURNING_AI_FAULTS: [(Fault, u32); 12] = [
    (Fault::Status(500), 40),
    (Fault::Status(503), 20),
    (Fault::Status(404), 10),
    (Fault::Status(401), 20),
    (Fault::RevokeTokens, 25),
    (Fault::Reset, 30),
    (Fault::ResetAfterAccept, 30),
    (Fault::Garbage, 25),
    (Fault::GarbageBody, 30),
    (Fault::SuccessFalse, 25),
    (Fault::WrongContentType, 25),
    (Fault::SlowBody(SLOW_BODY), 50),
];

/// The same over DynamoDB. `Slow` takes longer than the bridge gives a call, so the write takes effect and is repeated.
const DYNAMODB_FAULTS: [(AwsFault, u32); 5] = [
    (AwsFault::Throttle, 40),
    (AwsFault::InternalError, 15),
    (AwsFault::Refuse, 20),
    (AwsFault::ResetAfter, 30),
    (AwsFault::Slow(Duration::from_millis(1_200)), 3),
];

/// No answer at all, of a thousand calls and in the first wave only: each costs seconds, for which the end of the
/// storm waits.
const HANGS: u32 = 4;

/// Above what an invocation may take.
const MOST_TIME_OF_A_REDRIVE: Duration = Duration::from_secs(60);

impl Storm<'_> {
    /// Sends the events through the storm, waits until everything is settled, and reports their outcomes.
    ///
    /// # Errors
    /// The embedded table does not work.
    pub async fn run(&self) -> Result<Tally, DynamoDbError> {
        let stack = self.stack;
        let mut rng = Rng::with_seed(self.seed);
        let events = self.events.iter().cloned();
        let mut events: Vec<_> =
            events.map(|event| Outgoing { event, rng: rng.fork(), times_sent: 0, acknowledged: false }).collect();
        let run = Run { storm: self, stack, interruptions: RefCell::default() };

        let size = events.len().div_ceil(WAVES).max(1);
        for (number, wave) in (1..).zip(events.chunks_mut(size)) {
            run.begin_faults(&mut rng, if number == 1 { HANGS } else { 0 });
            run.deliver(wave.iter_mut(), true).await;
            stack.settled().await;
            let pending_before_redrive = stack.dynamodb.pending()?.len();
            for kills in KILLS_OF_REDRIVE {
                stack.make_due().await?;
                run.redrive_twice_at_once(&mut rng, kills).await;
            }
            (self.progress)(Progress::WaveEnded(Wave {
                number,
                sent: wave.len(),
                acknowledged: wave.iter().filter(|event| event.acknowledged).count(),
                pending_before_redrive,
                pending_after_redrive: stack.dynamodb.pending()?.len(),
                killed: run.interruptions.borrow().len(),
            }));
        }

        stack.returning_ai.clear_faults();
        stack.dynamodb.clear_faults();
        (self.progress)(Progress::Healed);
        run.deliver(events.iter_mut().filter(|event| !event.acknowledged), false).await;
        for _ in 0..MOST_REDRIVES {
            if stack.make_due().await? == 0 {
                break;
            }
            (self.progress)(Progress::Redriven(&stack.redrive(json!({})).await));
        }

        let evidence = Evidence {
            items: stack.dynamodb.items(),
            calls: stack.returning_ai.attempts(),
            interruptions: &run.interruptions.into_inner(),
            strikes: stack.dynamodb.strikes(),
        };
        Ok(Tally::of(&events, &self.once, &evidence))
    }
}

impl Run<'_> {
    /// From now on any call may fail. Earlier accidents are over.
    fn begin_faults(&self, rng: &mut Rng, hangs: u32) {
        let stack = self.stack;
        let mut sometimes =
            |thousandths: u32| When::Sometimes { probability: f64::from(thousandths) / 1000.0, seed: rng.u64(..) };
        stack.returning_ai.clear_faults();
        stack.returning_ai.inject(None, Fault::Hang, sometimes(hangs));
        for (fault, thousandths) in RETURNING_AI_FAULTS {
            stack.returning_ai.inject(None, fault, sometimes(thousandths));
        }
        let retry_after = Fault::RetryAfter { status: 429, after: "2".to_owned() };
        stack.returning_ai.inject(None, retry_after, sometimes(30));
        stack.dynamodb.clear_faults();
        stack.dynamodb.inject(None, AwsFault::Hang, sometimes(hangs));
        for (fault, thousandths) in DYNAMODB_FAULTS {
            stack.dynamodb.inject(None, fault, sometimes(thousandths));
        }
    }

    /// Delivers as the providers do: several at a time, again what was not acknowledged.
    async fn deliver(&self, events: impl Iterator<Item = &mut Outgoing>, is_storm: bool) {
        let each = |event| self.deliver_one(event, is_storm);
        stream::iter(events).for_each_concurrent(AT_ONCE, each).await;
    }

    async fn deliver_one(&self, event: &mut Outgoing, is_storm: bool) {
        for _ in 0..PROVIDER_SENDS {
            event.acknowledged = self.send(event).await;
            if is_storm && event.rng.u32(..MISFORTUNE_ONE_IN) == 0 {
                self.misfortune(&mut event.rng);
            }
            if event.acknowledged {
                (self.storm.progress)(Progress::Acknowledged);
                break;
            }
            sleep(Duration::from_millis(event.rng.u64(50..300))).await;
        }
        if event.acknowledged && event.rng.u32(..REDELIVERED) == 0 {
            self.send(event).await;
        }
    }

    /// Makes one delivery, with a new signature. Returns whether it was acknowledged.
    async fn send(&self, Outgoing { event, times_sent, .. }: &mut Outgoing) -> bool {
        *times_sent += 1;
        let (now, key) = (Clock::system().now().seconds(), sample_key(event.provider.name));
        // A body that cannot be signed is refused, and the tally says so.
        let headers = signed_headers(event.provider, now, &event.body, &key).unwrap_or_default();
        let answered = timeout(PROVIDER_WAITS, self.stack.send(event.provider, &headers, event.body.clone())).await;
        matches!(answered, Ok(Ok((200, _))))
    }

    fn misfortune(&self, rng: &mut Rng) {
        let stack = self.stack;
        match rng.u32(..10) {
            // Longer than the bridge's own three tries: an event cannot be recorded, an outcome cannot be written.
            0 => stack.dynamodb.inject(Some("PutItem"), AwsFault::Refuse, When::Next(8)),
            1 => stack.dynamodb.inject(Some("UpdateItem"), AwsFault::Throttle, When::Next(8)),
            2 => stack.returning_ai.inject(None, Fault::Status(503), When::Next(12)),
            _ => self.kill(RECEIVERS[rng.usize(..RECEIVERS.len())], rng.usize(..)),
        }
    }

    /// One after the other is killed after some calls to Returning.AI, if they make that many. What a killed one leaves
    /// behind, the next takes over.
    async fn redrive_twice_at_once(&self, rng: &mut Rng, kills: usize) {
        let stack = self.stack;
        let before = stack.returning_ai.attempts().len();
        let after = [rng.usize(1..20), rng.usize(20..60)].map(|more| before + more);
        let draw = rng.usize(..);
        let killing = async {
            for at in after.into_iter().take(kills) {
                let reached = stack.returning_ai.wait_for(|calls| calls.len() >= at, MOST_TIME_OF_A_REDRIVE).await;
                if reached.is_ok() {
                    self.kill(REDRIVE, draw);
                }
            }
            // The redrives end this.
            pending::<()>().await;
        };
        let redriving = async {
            let _ = join(stack.redrive(json!({})), stack.redrive(json!({}))).await;
            stack.settled().await;
        };
        tokio::select! {
            () = redriving => {}
            () = killing => {}
        }
    }

    /// Kills a busy process of this function, if there is one.
    fn kill(&self, function: &'static str, draw: usize) {
        if let Some(at_work) = self.stack.function(function).and_then(|host| host.interrupt(draw)) {
            let (pk, since) = (self.event_of(&at_work), at_work.since);
            self.interruptions.borrow_mut().push(Interruption { function, pk, since, at: SystemTime::now() });
        }
    }

    /// The key of the event that a receiving function was given.
    fn event_of(&self, at_work: &BusyProcess) -> Option<String> {
        let request: Value = serde_json::from_slice(&at_work.event).ok()?;
        let body = request["body"].as_str()?;
        self.storm.events.iter().find(|event| event.body == body).map(|event| event.pk.clone())
    }
}
