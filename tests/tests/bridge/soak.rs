//! Two thousand events through a storm: processes are killed, Returning.AI and DynamoDB fail in all their ways. What was
//! acknowledged is delivered; every message of one event is the same; and only what a misfortune touched is sent twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt};
use local::aws::{AwsFault, Strike};
use local::faults::When;
use local::lambda_host::{AtWork, LambdaHost};
use local::returning_ai::{Fault, Message};
use serde_json::{Value, json};

use crate::bridge::fixture::*;

const EVENTS: usize = 2_000;

/// After each wave everything comes to rest, and redrive takes over what is left.
const WAVES: usize = 3;

const AT_ONCE: usize = 32;

/// An invocation's time: a call that hangs costs an attempt four seconds less than this.
const TIMEOUT: Duration = Duration::from_secs(9);

/// A provider sends again what was not acknowledged, so often while the storm lasts.
const PROVIDER_SENDS: u32 = 12;

/// One answered delivery in so many is followed by the death of a process.
const KILL_ONE_IN: u32 = 40;

/// One acknowledged event in so many is sent again all the same.
const REDELIVER_ONE_IN: u32 = 20;

/// A signal takes its time, and what is on the wire arrives after the death of its sender.
const SLACK: Duration = Duration::from_secs(1);

/// What, and in how many of a thousand calls. None of it is a refusal for good.
fn returning_ai_faults() -> [(Fault, u32); 13] {
    [
        (Fault::Status(500), 60),
        (Fault::Status(503), 30),
        (Fault::RetryAfter { status: 429, after: "2".to_owned() }, 50),
        (Fault::Status(401), 30),
        (Fault::Status(404), 20),
        (Fault::RevokeTokens, 40),
        (Fault::Reset, 50),
        (Fault::ResetAfterAccept, 40),
        (Fault::Garbage, 40),
        (Fault::GarbageBody, 40),
        (Fault::SuccessFalse, 40),
        (Fault::WrongContentType, 40),
        (Fault::SlowBody(Duration::from_millis(200)), 50),
    ]
}

/// The same of DynamoDB. `Slow` takes longer than the bridge gives a call: the write takes effect and is repeated.
const DYNAMODB_FAULTS: [(AwsFault, u32); 5] = [
    (AwsFault::Throttle, 50),
    (AwsFault::InternalError, 20),
    (AwsFault::Refuse, 30),
    (AwsFault::ResetAfter, 40),
    (AwsFault::Slow(Duration::from_millis(1_200)), 4),
];

/// No answer at all, in the first wave only: each costs seconds of waiting, and whoever waits for rest waits for it.
const HANGS: u32 = 6;

/// One event on its way to the bridge.
struct Outgoing {
    provider: &'static str,
    event_id: String,
    rng: Rng,
    sends: u32,
    acknowledged: bool,
}

/// A process that was killed at work.
struct Kill {
    function: &'static str,
    /// The event it had; `None` for redrive, which has many.
    pk: Option<String>,
    since: SystemTime,
    at: SystemTime,
}

struct Storm {
    bridge: Bridge,
    /// With more time than the receivers, since it begins nothing in its last ten seconds.
    redrive: LambdaHost,
    kills: std::sync::Mutex<Vec<Kill>>,
}

#[tokio::test]
async fn of_two_thousand_events_in_a_storm_none_that_was_acknowledged_is_lost() {
    let began = Instant::now();
    let seed = std::env::var("BRIDGE_SOAK_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    println!("BRIDGE_SOAK_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let bridge = Bridge::with(|options| options.timeout = TIMEOUT).await;
    let redrive = bridge.another("redrive", |spec| spec.timeout = Duration::from_secs(30));
    let storm = Storm { bridge, redrive, kills: std::sync::Mutex::default() };
    let mut events: Vec<_> = (0..EVENTS)
        .map(|n| Outgoing {
            provider: if n % 2 == 0 { RAIL } else { RILLIS },
            event_id: format!("e{n}"),
            rng: rng.fork(),
            sends: 0,
            acknowledged: false,
        })
        .collect();

    for (number, wave) in events.chunks_mut(EVENTS.div_ceil(WAVES)).enumerate() {
        storm.begin(&mut rng, if number == 0 { HANGS } else { 0 });
        storm.deliver(wave.iter_mut().collect(), true).await;
        for kills in [2, 1] {
            storm.make_due().await;
            storm.redrive_twice_at_once(&mut rng, kills).await;
        }
        let (pending, kills) = (storm.pending(), storm.kills.lock().unwrap().len());
        println!("{:>5.1?}: {pending} pending, {kills} killed so far", began.elapsed());
    }

    storm.bridge.stack.returning_ai.clear_faults();
    storm.bridge.stack.dynamodb.clear_faults();
    storm.make_due().await;
    storm.deliver(events.iter_mut().filter(|event| !event.acknowledged).collect(), false).await;
    for _ in 0..20 {
        if storm.make_due().await == 0 {
            break;
        }
        let invoked = within(storm.redrive.invoke("{}".into())).await.unwrap();
        println!("{:>5.1?}: {}", began.elapsed(), String::from_utf8_lossy(&invoked.response));
    }
    storm.check(&events);
    println!("{:>5.1?} in all", began.elapsed());
}

impl Storm {
    fn begin(&self, rng: &mut Rng, hangs: u32) {
        let mut sometimes =
            |thousandths: u32| When::Sometimes { probability: f64::from(thousandths) / 1000.0, seed: rng.u64(..) };
        let stack = &self.bridge.stack;
        stack.returning_ai.clear_faults();
        stack.returning_ai.inject(None, Fault::Hang, sometimes(hangs));
        for (fault, thousandths) in returning_ai_faults() {
            stack.returning_ai.inject(None, fault, sometimes(thousandths));
        }
        stack.dynamodb.clear_faults();
        stack.dynamodb.inject(None, AwsFault::Hang, sometimes(hangs));
        for (fault, thousandths) in DYNAMODB_FAULTS {
            stack.dynamodb.inject(None, fault, sometimes(thousandths));
        }
    }

    async fn deliver(&self, events: Vec<&mut Outgoing>, killing: bool) {
        let each = |event| async move { self.deliver_one(event, killing).await };
        stream::iter(events).for_each_concurrent(AT_ONCE, each).await;
    }

    async fn deliver_one(&self, event: &mut Outgoing, killing: bool) {
        let copies = if event.rng.u32(..REDELIVER_ONE_IN) == 0 { 2 } else { 1 };
        for _ in 0..copies {
            for _ in 0..PROVIDER_SENDS {
                event.sends += 1;
                let answer = self.bridge.post(event.provider, wanted(event.provider, &event.event_id)).await;
                event.acknowledged |= answer.status == 200;
                if killing && event.rng.u32(..KILL_ONE_IN) == 0 {
                    let function = if event.rng.bool() { RAIL } else { RILLIS };
                    self.kill(function, self.bridge.function(function), event.rng.usize(..));
                }
                if event.acknowledged {
                    break;
                }
            }
        }
    }

    /// One after the other is killed after some calls to Returning.AI, if they make that many.
    async fn redrive_twice_at_once(&self, rng: &mut Rng, kills: usize) {
        let calls = self.bridge.stack.returning_ai.attempts().len();
        let after = [rng.usize(1..20), rng.usize(20..60)].map(|more| calls + more);
        let draw = rng.usize(..);
        let killing = async {
            for at in after.into_iter().take(kills) {
                let reached = self.bridge.stack.returning_ai.wait_for(|calls| calls.len() >= at, BOUND).await;
                if reached.is_ok() {
                    self.kill("redrive", &self.redrive, draw);
                }
            }
            // The redrives end this.
            std::future::pending::<()>().await;
        };
        let run = || async { drop(within(self.redrive.invoke("{}".into())).await) };
        tokio::select! {
            _ = join(run(), run()) => {}
            () = killing => {}
        }
        within(self.redrive.idle()).await;
    }

    fn kill(&self, function: &'static str, host: &LambdaHost, draw: usize) {
        if let Some(at_work) = host.interrupt(draw) {
            let pk = event_of(function, &at_work);
            let kill = Kill { function, pk, since: at_work.since, at: SystemTime::now() };
            self.kills.lock().unwrap().push(kill);
        }
    }

    async fn make_due(&self) -> usize {
        within(self.redrive.idle()).await;
        self.bridge.make_due().await
    }

    fn pending(&self) -> usize {
        self.bridge.stack.dynamodb.pending().unwrap().len()
    }

    fn check(&self, events: &[Outgoing]) {
        let stack = &self.bridge.stack;
        let kills = self.kills.lock().unwrap();
        let strikes = stack.dynamodb.strikes();
        let calls = stack.returning_ai.attempts();
        let mut by_event: BTreeMap<String, Vec<&Message>> = BTreeMap::new();
        for call in &calls {
            let key = call.body["idempotencyKey"].as_str().unwrap();
            let (event, _) = key.rsplit_once('/').unwrap();
            by_event.entry(event.replacen(':', "#", 1)).or_default().push(call);
        }
        let items: BTreeMap<_, _> =
            stack.dynamodb.items().into_iter().map(|item| (item["pk"].as_str().unwrap().to_owned(), item)).collect();

        let (mut lost, mut differing, mut unexplained) = (Vec::new(), Vec::new(), Vec::new());
        let mut duplicates: BTreeMap<&str, usize> = BTreeMap::new();
        for event in events {
            let pk = format!("{}#{}", event.provider, event.event_id);
            assert!(event.acknowledged, "{pk} was not acknowledged in {} sends", event.sends);
            let calls = by_event.remove(&pk).unwrap_or_default();
            let accepted: Vec<_> = calls.iter().filter(|call| call.accepted).collect();
            let state = items.get(&pk).map(|item| item["state"].clone());
            if state != Some(json!("delivered")) || accepted.is_empty() {
                lost.push((pk.clone(), state, accepted.len()));
            }
            // The same bytes: the same idempotency key, the same `occurredAt`.
            if calls.iter().any(|call| call.raw != calls[0].raw || !call.body["occurredAt"].is_string()) {
                differing.push(pk.clone());
            }
            for pair in accepted.windows(2) {
                match why_again(&pk, pair[0], pair[1], &kills, &strikes) {
                    Some(why) => *duplicates.entry(why).or_default() += 1,
                    None => unexplained.push((pk.clone(), items.get(&pk).map(|item| item["history"].clone()))),
                }
            }
        }
        let killed = |function: &str| kills.iter().filter(|kill| kill.function == function).count();
        let resent = events.iter().filter(|event| event.sends > 1).count();
        println!("{} events acknowledged, {resent} of them sent more than once; lost: {}", events.len(), lost.len());
        println!(
            "{} calls to Returning.AI; duplicates: {duplicates:?}, unexplained: {}",
            calls.len(),
            unexplained.len()
        );
        println!("killed: {} rail, {} rillis, {} redrive", killed(RAIL), killed(RILLIS), killed("redrive"));
        println!("{} calls to DynamoDB struck", strikes.len());
        assert_eq!(lost, []);
        assert_eq!(differing, Vec::<String>::new());
        assert_eq!(unexplained, []);
        assert_eq!(by_event.into_keys().collect::<Vec<_>>(), Vec::<String>::new(), "messages of no event");
        assert_eq!(stack.returning_ai.violations(), []);
        assert!(killed(RAIL) > 5 && killed(RILLIS) > 5 && killed("redrive") > 0 && strikes.len() > 100);
    }
}

/// What fell between Returning.AI's answer and our settling, if anything did.
fn why_again(pk: &str, message: &Message, again: &Message, kills: &[Kill], strikes: &[Strike]) -> Option<&'static str> {
    let accepted_at = message.received_at;
    if matches!(message.fault, Some(Fault::ResetAfterAccept | Fault::GarbageBody)) {
        return Some("answer spoiled");
    }
    let was_killed = |kill: &Kill| {
        kill.pk.as_deref().is_none_or(|its| its == pk) && kill.since <= accepted_at && accepted_at <= kill.at + SLACK
    };
    if kills.iter().any(was_killed) {
        return Some("process killed");
    }
    let was_struck = |strike: &Strike| {
        let call: Value = serde_json::from_slice(&strike.request).unwrap_or_default();
        (accepted_at..=again.received_at).contains(&strike.at)
            && strike.operation == "UpdateItem"
            && call["Key"]["pk"]["S"] == pk
            && call["UpdateExpression"].as_str().is_some_and(|expression| expression.contains("history"))
    };
    strikes.iter().any(was_struck).then_some("settling struck")
}

/// The key of the event that a receiving function was given.
fn event_of(function: &str, at_work: &AtWork) -> Option<String> {
    let id = match function {
        RAIL => "event_id",
        RILLIS => "id",
        _ => return None,
    };
    let request: Value = serde_json::from_slice(&at_work.event).unwrap();
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    Some(format!("{function}#{}", body[id].as_str().unwrap()))
}
