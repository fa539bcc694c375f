use std::sync::Mutex;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value as Json, json};
use sha2::Sha256;

use super::*;
use crate::deliver::pauses::PauseCache;
use crate::deliver::resolver::Resolver;
use crate::deliver::returning_ai::ReturningAi;
use crate::deliver::webhooks::Webhooks;
use crate::outside::aws;
use crate::outside::http::Http;
use crate::outside::secrets::{CachedSecret, MAX_AGE};
use crate::receive::provider::{EnvelopeMembers, Form, HeaderPart};
use crate::receive::signing_keys::KeyVersion;
use crate::receive::signing_keys::tests::HASHED_BYTES;
use crate::record::store::EventStore;
use crate::testing::{Asked, Loopback, Reply, by_metric, settable_clock};
use route::routes::{Known, Routes};

/// Nobody's contract: the raw bytes, and an envelope of `id` and `type`.
static SAMPLE: Provider = Provider {
    name: "sample",
    signature: HeaderPart::Whole("x-sample-signature"),
    signed_at: HeaderPart::Whole("x-sample-timestamp"),
    forms: &[Form { name: "raw", spelling: None }],
    envelope: EnvelopeMembers { event_id: "id", event_type: "type", occurred_at: "happened_at" },
    api: None,
};

// Signatures: `printf '%s' "1747253577.$BODY" | openssl dgst -sha256 -hmac sample-key`; `old-key` where it says so.
const BODY: &str = r#"{"id":"evt_1","type":"PAID","at":1738784271042,"amount":1000.00}"#;
const SIGNATURE: &str = "9cd5eb23d74b3721403e8b57c52dc89f15cab0d76f51e76f0093b5c680e32df4";
const SIGNATURE_OLD_KEY: &str = "15f19ec91f15a8da935c309fb1be258d40f04d32a54a22039bc0c30dc92c8a3f";
const BODY_SHA256: &str = "fd0e8703b60d868f4d5511633c8cff35a5e54dad82d96d240052f95e067d4497";
const UNREADABLE: (&str, &str) =
    (r#"{"id":"evt_1"}"#, "ee804d36da08c2eb969273cf0978a512060705bf93fd9618ce66ece07f20f07f");

const ROUTES: &str = r#"
    [redact]
    sample = ["/amount"]

    [[route]]
    name = "first"
    provider = "sample"
    events = ["PAID"]
    workflow = "deposit"
    event_type = "deposit.posted"
    customer = "/id"
"#;

/// AWS and Returning.AI at one address.
struct Outside {
    /// The signing secret; nothing while Secrets Manager refuses.
    key: Option<&'static str>,
    /// Another entry of it.
    other_entry: Option<Json>,
    /// The answer to who asks for its previous version.
    previous: Reply,
    put_item: Reply,
    /// What the next writes are answered with, last first, before it is `put_item` again.
    next_writes: Vec<Reply>,
    secret_hangs: bool,
    throttled_until: Option<Instant>,
    webhook_url: String,
}

impl Outside {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match (asked.path.as_str(), asked.header("x-amz-target")) {
            ("/", Some("secretsmanager.GetSecretValue")) if self.secret_hangs => Reply::Silence,
            ("/", Some("secretsmanager.GetSecretValue")) => self.secret(&asked.json()),
            ("/", Some("DynamoDB_20120810.PutItem")) => match self.throttled_until {
                Some(until) if Instant::now() < until => {
                    Reply::json(400, r#"{"__type":"ProvisionedThroughputExceededException"}"#)
                }
                _ => self.next_writes.pop().unwrap_or_else(|| self.put_item.clone()),
            },
            ("/", Some("DynamoDB_20120810.UpdateItem" | "DynamoDB_20120810.BatchGetItem")) | ("/webhook", None) => {
                Reply::json(200, "{}")
            }
            other => panic!("{other:?}"),
        }
    }

    fn secret(&self, question: &Json) -> Reply {
        let secret = match (question["SecretId"].as_str(), question["VersionStage"].as_str(), self.key) {
            (_, Some("AWSPREVIOUS"), _) => return self.previous.clone(),
            (Some("signing"), _, None) => return Reply::json(400, r#"{"__type":"AccessDeniedException"}"#),
            (Some("signing"), _, Some(key)) => match &self.other_entry {
                Some(other) => json!({ "keys": { "a": other, "current": key } }),
                None => json!({ "keys": { "current": key } }),
            },
            _ => json!({ "workflows": { "deposit": {
                "webhook_url": self.webhook_url, "api_key": "sample-key", "mode": "legacy",
            } } }),
        };
        Reply::json(200, json!({ "SecretString": secret.to_string() }).to_string())
    }
}

struct World {
    server: Loopback,
    outside: Arc<Mutex<Outside>>,
    receiver: Arc<Receiver>,
}

fn world(clock: Clock) -> World {
    let outside = Arc::new(Mutex::new(Outside {
        key: Some("sample-key"),
        other_entry: None,
        previous: Reply::json(400, r#"{"__type":"ResourceNotFoundException"}"#),
        put_item: Reply::json(200, "{}"),
        next_writes: Vec::new(),
        secret_hangs: false,
        throttled_until: None,
        webhook_url: String::new(),
    }));
    let answers = Arc::clone(&outside);
    let server = Loopback::start(move |_, asked| answers.lock().unwrap().answer(asked));
    outside.lock().unwrap().webhook_url = format!("{}/webhook", server.url);

    let http = Http::new().unwrap();
    let secrets = aws::secrets_manager(&server.aws(), &http);
    let webhooks = CachedSecret::new(secrets.clone(), "returning-ai".to_owned(), clock, Webhooks::parse);
    let receiver = Receiver {
        provider: &SAMPLE,
        clock,
        signing_keys: SigningKeys::new(secrets, "signing".to_owned(), clock),
        deliverer: Deliverer {
            clock,
            store: EventStore::new(aws::dynamodb(&server.aws(), &http), "events".to_owned()),
            returning_ai: ReturningAi::new(http, webhooks, clock),
            resolver: Resolver { clock, customers: None, apis: Vec::new() },
            routes: Routes::parse("routes.toml", ROUTES, Known::Anything).unwrap(),
            pauses: PauseCache::default(),
        },
        max_body_bytes: 1000,
    };
    World { server, outside, receiver: Arc::new(receiver) }
}

/// Of the key `sample-key`, for bodies that a test makes up; the constants above hold it to openssl.
fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"sample-key").unwrap();
    mac.update(format!("1747253577.{body}").as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn request(body: &str, signature: &str) -> Request {
    let request = http::Request::post("/webhooks/sample").header("x-sample-timestamp", "1747253577");
    request.header("x-sample-signature", signature).body(body.into()).unwrap()
}

impl World {
    fn invocation(&self, left: Duration) -> Invocation {
        Invocation {
            request_id: "request-1".to_owned(),
            ends_at: self.receiver.clock.now().plus(left),
            answer_by: Instant::now() + Duration::from_secs(60),
        }
    }

    async fn receive(&self, request: Request) -> Receipt {
        self.receiver.receive(&request, &self.invocation(Duration::from_secs(30))).await
    }

    /// The sample delivery, answered within this.
    async fn receive_within(&self, budget: Duration) -> Receipt {
        let invocation = Invocation { answer_by: Instant::now() + budget, ..self.invocation(Duration::from_secs(30)) };
        self.receiver.receive(&request(BODY, SIGNATURE), &invocation).await
    }

    fn set(&self, change: impl FnOnce(&mut Outside)) {
        change(&mut self.outside.lock().unwrap());
    }

    /// The bodies of the calls of one operation of DynamoDB.
    fn writes(&self, operation: &str) -> Vec<Json> {
        let target = format!("DynamoDB_20120810.{operation}");
        let calls = self.server.asked().into_iter().filter(|asked| asked.header("x-amz-target") == Some(&target));
        calls.map(|asked| asked.json()).collect()
    }
}

/// The answer, and the refusal's code or the error behind it.
fn told(receipt: &Receipt) -> (Answer, Option<&str>) {
    (receipt.answer, receipt.refusal.map(Refusal::code).or(receipt.error.as_ref().map(|error| error.text.as_str())))
}

#[tokio::test]
async fn what_can_be_refused_without_a_key_costs_no_call() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    for (request, expected) in [
        (request(&" ".repeat(1001), SIGNATURE), (Answer::TooLarge, None)),
        (Request::new(BODY.into()), (Answer::Unauthorized, Some("header_missing"))),
        (request(BODY, "xyz"), (Answer::Unauthorized, Some("header_malformed"))),
    ] {
        let asked = format!("{request:?}");
        assert_eq!(told(&world.receive(request).await), expected, "{asked}");
    }
    assert_eq!(world.server.asked().len(), 0);
}

#[tokio::test]
async fn a_wanted_event_is_recorded_before_it_is_accepted() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let receipt = world.receive(request(BODY, SIGNATURE)).await;
    assert_eq!(told(&receipt), (Answer::Accepted, None));
    assert_eq!((receipt.signed_form, receipt.key_version), (Some("raw"), Some(KeyVersion::Current)));

    let writes = world.writes("PutItem");
    let [write] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!(write["ConditionExpression"], "attribute_not_exists(pk)");
    let item = &write["Item"];
    for (name, expected) in [
        ("pk", json!({ "S": "sample#evt_1" })),
        ("state", json!({ "S": "pending" })),
        ("attempts", json!({ "N": "1" })),
        ("next_attempt_at", json!({ "N": "1747253637" })),
        ("due", json!({ "S": "p0" })),
        ("body_sha256", json!({ "S": BODY_SHA256 })),
        ("deliveries", json!({ "M": { "first": { "M": { "state": { "S": "pending" } } } } })),
    ] {
        assert_eq!(item[name], expected, "{name}");
    }
    // `printf '{"id":"evt_1","type":"PAID","at":1738784271042}' | base64 -w0`: without what [redact] names.
    assert_eq!(item["body"], json!({ "B": "eyJpZCI6ImV2dF8xIiwidHlwZSI6IlBBSUQiLCJhdCI6MTczODc4NDI3MTA0Mn0=" }));
}

#[tokio::test]
async fn a_body_that_no_item_can_hold_is_too_large_and_not_acknowledged() {
    let (clock, _) = settable_clock!();
    let mut world = world(clock);
    // Below this limit of bodies, above DynamoDB's limit of items even when deflated.
    Arc::get_mut(&mut world.receiver).unwrap().max_body_bytes = 1 << 20;
    let mut state: u32 = 1;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + 2 + u8::try_from(state >> 26).unwrap())
    })
    .filter(|letter| *letter != '\\')
    .take(1_000_000)
    .collect();
    let body = format!(r#"{{"id":"evt_1","type":"PAID","at":1738784271042,"noise":"{noise}"}}"#);
    let receipt = world.receive(request(&body, &signature(&body))).await;
    assert_eq!(receipt.answer, Answer::TooLarge);
    assert_eq!(receipt.event.as_ref().map(EventRecord::pk).as_deref(), Some("sample#evt_1"), "it is signed");
    assert_eq!(world.writes("PutItem").len(), 0);
    let measured = by_metric(&world.receiver.after_ack(&receipt, &world.invocation(Duration::from_secs(30))).await);
    assert!(measured.contains_key("SignedAndRefused") && !measured.contains_key("TooLarge"), "{measured:?}");
}

#[tokio::test]
async fn what_is_above_the_limit_is_told_apart_by_its_headers() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let large = " ".repeat(1001);
    for (signature, counted) in [(SIGNATURE, "TooLarge"), ("xyz", "Refused header_malformed")] {
        let receipt = world.receive(request(&large, signature)).await;
        assert_eq!(receipt.answer, Answer::TooLarge);
        let measured = by_metric(&world.receiver.after_ack(&receipt, &world.invocation(Duration::ZERO)).await);
        assert!(measured.contains_key(counted), "{measured:?}");
        assert_eq!(measured.contains_key("TooLarge"), signature == SIGNATURE, "{measured:?}");
    }
}

#[tokio::test]
async fn an_event_that_no_route_wants_is_recorded_and_ignored() {
    let (clock, _) = settable_clock!();
    let mut world = world(clock);
    let routes = Routes::parse("routes.toml", &ROUTES.replace("\"PAID\"", "\"BOOKED\""), Known::Anything).unwrap();
    Arc::get_mut(&mut world.receiver).unwrap().deliverer.routes = routes;
    assert_eq!(told(&world.receive(request(BODY, SIGNATURE)).await), (Answer::Ignored, None));
    assert_eq!(world.writes("PutItem")[0]["Item"]["state"], json!({ "S": "ignored" }));
}

#[tokio::test]
async fn an_envelope_that_is_not_understood_is_kept_as_dead_and_accepted() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let (body, signature) = UNREADABLE;
    assert_eq!(told(&world.receive(request(body, signature)).await), (Answer::Accepted, None));
    let item = &world.writes("PutItem")[0]["Item"];
    assert_eq!((&item["state"], &item["due"]), (&json!({ "S": "dead" }), &json!({ "S": "d0" })));
    assert_eq!(item["last_error"], json!({ "S": "envelope_unreadable" }));
    assert_eq!(item.get("expires_at"), None);
}

#[tokio::test]
async fn an_event_that_is_there_already_is_a_duplicate_and_a_changed_body_is_noticed() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    for (sha256, conflicting) in [(BODY_SHA256, false), ("00", true)] {
        let taken = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "Item": { "event_type": { "S": "PAID" }, "body_sha256": { "S": sha256 }, "taken_by": { "S": "another request" } },
        });
        world.set(|outside| outside.put_item = Reply::json(400, taken.to_string()));
        let receipt = world.receive(request(BODY, SIGNATURE)).await;
        assert_eq!((told(&receipt), receipt.conflicting), ((Answer::Duplicate, None), conflicting));
    }
    assert_eq!(world.writes("PutItem").len(), 2, "one for each");
}

/// The table's answer where this is recorded under the event's key.
fn taken(event_type: &str, body: &str) -> Reply {
    let item = json!({
        "event_type": { "S": event_type },
        "body": { "B": STANDARD.encode(body) },
        "body_encoding": { "S": "identity" },
        "body_sha256": { "S": "00" },
    });
    let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    Reply::json(400, json!({ "__type": kind, "Item": item }).to_string())
}

#[tokio::test]
async fn another_type_under_a_recorded_id_is_recorded_and_delivered_under_an_id_of_its_own() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    world.set(|outside| outside.next_writes = vec![taken("BOOKED", "{}")]);
    let receipt = world.receive(request(BODY, SIGNATURE)).await;
    assert_eq!(told(&receipt), (Answer::Accepted, None));
    let measured = by_metric(&world.receiver.after_ack(&receipt, &world.invocation(Duration::from_secs(30))).await);
    assert_eq!((measured.contains_key("IdConflict"), measured.contains_key("Delivered")), (true, true), "{measured:?}");

    let writes = world.writes("PutItem");
    let [first, second] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!(first["Item"]["pk"], json!({ "S": "sample#evt_1" }));
    // The body is signed as it is, so this is its digest, too.
    assert_eq!(second["Item"]["pk"], json!({ "S": format!("sample#sha256:{BODY_SHA256}") }));
    assert_eq!(second["Item"]["state"], json!({ "S": "pending" }));
    assert_eq!(second["ConditionExpression"], "attribute_not_exists(pk)");
    let asked = world.server.asked();
    let message = asked.iter().find(|asked| asked.path == "/webhook").map(Asked::json).unwrap();
    assert_eq!(message["idempotencyKey"], format!("sample:sha256:{BODY_SHA256}/first"));

    // The same delivery once more.
    world.set(|outside| outside.next_writes = vec![taken("PAID", BODY), taken("BOOKED", "{}")]);
    let receipt = world.receive(request(BODY, SIGNATURE)).await;
    assert_eq!(told(&receipt), (Answer::Duplicate, None));
    let measured = by_metric(&world.receiver.after_ack(&receipt, &world.invocation(Duration::from_secs(30))).await);
    assert_eq!((measured.contains_key("IdConflict"), world.server.count("/webhook")), (false, 1), "{measured:?}");
}

#[tokio::test]
async fn the_same_type_at_another_time_is_kept_for_a_person_to_compare() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let recorded = r#"{"id":"evt_1","type":"PAID","happened_at":"2025-02-05T19:37:51Z","to":"A"}"#;
    let body = recorded.replace("19:37:51Z", "19:37:52Z").replace("\"A\"", "\"B\"");
    world.set(|outside| outside.next_writes = vec![taken("PAID", recorded)]);
    let receipt = world.receive(request(&body, &signature(&body))).await;
    assert_eq!(told(&receipt), (Answer::Accepted, None));
    let measured = by_metric(&world.receiver.after_ack(&receipt, &world.invocation(Duration::from_secs(30))).await);
    assert_eq!((measured.contains_key("IdConflict"), measured.contains_key("Dead")), (true, false), "{measured:?}");
    assert_eq!(world.server.count("/webhook"), 0);
    let item = &world.writes("PutItem")[1]["Item"];
    assert_eq!((&item["state"], &item["last_error"]), (&json!({ "S": "dead" }), &json!({ "S": "id_conflict" })));
    assert_eq!(item["deliveries"]["M"]["first"]["M"]["state"], json!({ "S": "dead" }), "a redrive sends it");
    assert_eq!((item.get("expires_at"), item.get("next_attempt_at").is_some()), (None, true));

    // Nothing but the time and the spelling has changed.
    let resent = body.replace("19:37:52Z", "19:37:53Z").replace("{\"id\"", "{ \"id\"");
    world.set(|outside| outside.next_writes = vec![taken("PAID", &body)]);
    let receipt = world.receive(request(&resent, &signature(&resent))).await;
    assert_eq!((told(&receipt), receipt.conflicting), ((Answer::Duplicate, None), true));
    assert_eq!(world.writes("PutItem").len(), 3);
}

#[tokio::test]
async fn both_writes_of_a_conflict_share_the_time_of_the_answer() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let throttled = Reply::json(400, r#"{"__type":"ThrottlingException"}"#);
    world.set(|outside| {
        outside.put_item = throttled;
        outside.next_writes = vec![taken("BOOKED", "{}")];
    });
    let receipt = world.receive_within(Duration::from_millis(400)).await;
    assert_eq!(told(&receipt), (Answer::Unavailable, Some("table `events` cannot be used: ThrottlingException")));
    assert!(world.writes("PutItem").len() > 2 && receipt.ack < Duration::from_millis(600), "{:?}", receipt.ack);
}

#[tokio::test]
async fn without_a_record_or_without_keys_there_is_no_acknowledgement_and_no_refusal() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    world.set(|outside| outside.key = None);
    let error = Some("secret `signing` cannot be read: AccessDeniedException");
    assert_eq!(told(&world.receive(request(BODY, SIGNATURE)).await), (Answer::Unavailable, error));

    world.set(|outside| {
        outside.key = Some("sample-key");
        outside.put_item = Reply::json(400, r#"{"__type":"AccessDeniedException"}"#);
    });
    let error = Some("table `events` cannot be used: AccessDeniedException");
    assert_eq!(told(&world.receive(request(BODY, SIGNATURE)).await), (Answer::Unavailable, error));
}

#[tokio::test]
async fn an_answer_that_is_due_is_given_whatever_hangs() {
    let (clock, now) = settable_clock!();
    let world = world(clock);
    assert_eq!(world.receive(request(BODY, SIGNATURE)).await.answer, Answer::Accepted);
    world.set(|outside| outside.put_item = Reply::Silence);
    let receipt = world.receive_within(Duration::ZERO).await;
    let error = Some("table `events` cannot be used: no answer in time");
    assert_eq!(told(&receipt), (Answer::Unavailable, error));

    world.set(|outside| outside.secret_hangs = true);
    now.fetch_add(u64::try_from(MAX_AGE.as_millis()).unwrap(), Ordering::Relaxed);
    let receipt = world.receive_within(Duration::ZERO).await;
    assert_eq!(told(&receipt), (Answer::Unavailable, Some("the answer was due")));
}

#[tokio::test]
async fn a_table_that_is_throttled_for_a_second_and_a_half_has_the_event_by_the_time_of_the_answer() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    world.set(|outside| outside.throttled_until = Some(Instant::now() + Duration::from_millis(1_500)));
    assert_eq!(told(&world.receive_within(ACK_BUDGET).await), (Answer::Accepted, None));
}

#[tokio::test]
async fn a_long_outage_leaves_the_write_as_patient_as_it_was() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let failure = Reply::json(500, r#"{"__type":"InternalServerError"}"#);
    world.set(|outside| outside.put_item = failure.clone());
    while world.writes("PutItem").len() < 300 {
        let during = join_all((0..40).map(|_| world.receive_within(Duration::from_millis(400)))).await;
        assert!(during.iter().all(|receipt| receipt.answer == Answer::Unavailable), "{during:?}");
    }

    world.set(|outside| {
        outside.put_item = Reply::json(200, "{}");
        outside.next_writes = vec![failure];
    });
    assert_eq!(told(&world.receive_within(ACK_BUDGET).await), (Answer::Accepted, None));
    world.set(|outside| outside.throttled_until = Some(Instant::now() + Duration::from_millis(1_500)));
    assert_eq!(told(&world.receive_within(ACK_BUDGET).await), (Answer::Accepted, None));
}

#[tokio::test]
async fn a_write_that_is_refused_is_not_repeated() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    for name in ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"] {
        let before = world.writes("PutItem").len();
        world.set(|outside| outside.put_item = Reply::json(400, json!({ "__type": name }).to_string()));
        let error = format!("table `events` cannot be used: {name}");
        assert_eq!(told(&world.receive_within(ACK_BUDGET).await), (Answer::Unavailable, Some(&*error)));
        assert_eq!(world.writes("PutItem").len(), before + 1, "{name}");
    }
}

#[tokio::test]
async fn a_rotated_key_works_at_once_and_a_flood_of_bad_signatures_fetches_nothing() {
    let (clock, now) = settable_clock!();
    let world = world(clock);
    let refused = (Answer::Unauthorized, Some("signature_mismatch"));
    let reads = || world.server.asked().iter().filter(|asked| asked.body.contains("signing")).count();

    for _ in 0..20 {
        assert_eq!(told(&world.receive(request(BODY, SIGNATURE_OLD_KEY)).await), refused);
    }
    assert_eq!(reads(), 2, "both versions, once");
    for _ in 0..3 {
        assert_eq!(told(&world.receive(request(BODY, SIGNATURE)).await), (Answer::Accepted, None));
    }
    assert_eq!(reads(), 2);

    world.set(|outside| outside.key = Some("old-key"));
    now.fetch_add(2_000, Ordering::Relaxed);
    assert_eq!(told(&world.receive(request(BODY, SIGNATURE_OLD_KEY)).await), (Answer::Accepted, None));
    assert_eq!(told(&world.receive(request(BODY, SIGNATURE)).await), refused);
    assert_eq!(reads(), 4, "the previous version is another one now");
}

fn secret_of(keys: &Json) -> Reply {
    Reply::json(200, json!({ "SecretString": json!({ "keys": keys }).to_string() }).to_string())
}

#[tokio::test]
async fn a_previous_version_is_read_only_when_no_current_key_fits_and_is_no_hindrance_to_one_that_does() {
    let (clock, now) = settable_clock!();
    let failing = |name: &str| Reply::json(400, json!({ "__type": name }).to_string());
    for previous in [failing("DecryptionFailure"), failing("ThrottlingException"), Reply::Silence] {
        let world = world(clock);
        world.set(|outside| outside.previous = previous);
        assert_eq!(told(&world.receive(request(BODY, SIGNATURE)).await), (Answer::Accepted, None));
        assert_eq!(world.server.asked().iter().filter(|asked| asked.body.contains("AWSPREVIOUS")).count(), 0);
        // Nor to a key that was just added.
        world.set(|outside| outside.other_entry = Some(json!("old-key")));
        now.fetch_add(2_000, Ordering::Relaxed);
        assert_eq!(told(&world.receive(request(BODY, SIGNATURE_OLD_KEY)).await), (Answer::Accepted, None));
        assert_eq!(world.server.asked().iter().filter(|asked| asked.body.contains("AWSPREVIOUS")).count(), 0);
    }

    let world = world(clock);
    world.set(|outside| outside.previous = secret_of(&json!({ "current": "old-key", "empty": "" })));
    for _ in 0..3 {
        let receipt = world.receive(request(BODY, SIGNATURE_OLD_KEY)).await;
        assert_eq!((receipt.answer, receipt.key_version), (Answer::Accepted, Some(KeyVersion::Previous)));
    }
    assert_eq!(world.server.asked().iter().filter(|asked| asked.body.contains("AWSPREVIOUS")).count(), 1);
}

#[tokio::test]
async fn a_signature_is_not_refused_while_a_key_that_fits_it_may_exist() {
    let (clock, _) = settable_clock!();
    let failing = |status, name: &str| Reply::json(status, json!({ "__type": name }).to_string());
    let (unavailable, refused) = ((Answer::Unavailable, Some("keys_incomplete")), (Answer::Unauthorized, None));
    for (previous, other_entry, expected) in [
        (failing(400, "ResourceNotFoundException"), None, refused),
        (failing(400, "DecryptionFailure"), None, refused),
        (failing(400, "AccessDeniedException"), None, refused),
        (failing(400, "ThrottlingException"), None, unavailable),
        (failing(500, "InternalServiceError"), None, unavailable),
        // It hangs: the answer is given in time.
        (Reply::Silence, None, unavailable),
        (secret_of(&json!({ "current": "", "b": 7 })), None, refused),
        (failing(400, "ResourceNotFoundException"), Some(json!("REPLACE-ME")), refused),
        (failing(400, "ResourceNotFoundException"), Some(json!("")), unavailable),
        (failing(400, "DecryptionFailure"), Some(json!(7)), unavailable),
    ] {
        let world = world(clock);
        let case = format!("{previous:?} {other_entry:?}");
        let is_flawed = other_entry.is_some();
        world.set(|outside| (outside.previous, outside.other_entry) = (previous, other_entry));
        for first in [true, false] {
            let receipt = world.receive(request(BODY, SIGNATURE_OLD_KEY)).await;
            assert!(receipt.ack < Duration::from_secs(4), "{case}: {:?}", receipt.ack);
            let measured = by_metric(&world.receiver.after_ack(&receipt, &world.invocation(Duration::ZERO)).await);
            let is_counted = measured.contains_key("SecretEntryLeftOut");
            assert_eq!(is_counted, first && is_flawed, "{case}: once for each read");
            assert_eq!((receipt.answer, receipt.error.map(|error| error.code)), expected, "{case}");
            assert_eq!(told(&world.receive(request(BODY, SIGNATURE)).await), (Answer::Accepted, None), "{case}");
        }
    }
}

#[tokio::test]
async fn a_forged_body_is_hashed_once_though_the_secret_is_read_again() {
    let (clock, now) = settable_clock!();
    let world = world(clock);
    let reads = || world.server.asked().iter().filter(|asked| asked.body.contains("AWSCURRENT")).count();
    for current_reads in [1, 2] {
        now.fetch_add(40_000, Ordering::Relaxed);
        let before = HASHED_BYTES.get();
        let refused = (Answer::Unauthorized, Some("signature_mismatch"));
        assert_eq!(told(&world.receive(request(BODY, SIGNATURE_OLD_KEY)).await), refused);
        assert_eq!((HASHED_BYTES.get() - before, reads()), (BODY.len(), current_reads));
    }
}

#[tokio::test]
async fn an_accepted_event_is_delivered_and_settled_after_the_ack() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let receipt = world.receive(request(BODY, SIGNATURE)).await;
    assert_eq!(world.server.count("/webhook"), 0);
    world.receiver.after_ack(&receipt, &world.invocation(Duration::from_secs(30))).await;

    let asked = world.server.asked();
    let message = asked.iter().find(|asked| asked.path == "/webhook").map(Asked::json);
    let expected = json!({
        "eventType": "deposit.posted", "customerId": "evt_1", "occurredAt": "2025-05-14T20:12:57.000Z",
        "idempotencyKey": "sample:evt_1/first", "source": "sample", "sourceEventType": "PAID",
    });
    assert_eq!(message, Some(expected));
    let writes = world.writes("UpdateItem");
    let [write] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!(write["ConditionExpression"], "#state = :was AND attempts = :attempts AND taken_by = :taken_by");
    let values = &write["ExpressionAttributeValues"];
    assert_eq!((&values[":state"], &values[":attempts"]), (&json!({ "S": "delivered" }), &json!({ "N": "1" })));
}

#[tokio::test]
async fn an_event_is_left_to_redrive_when_no_time_is_left() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let receipt = world.receive(request(BODY, SIGNATURE)).await;
    world.receiver.after_ack(&receipt, &world.invocation(Duration::from_secs(4))).await;
    assert_eq!((world.server.count("/webhook"), world.writes("UpdateItem").len()), (0, 0));
}

#[tokio::test]
async fn only_an_accepted_event_is_delivered() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let taken = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}"#;
    world.set(|outside| outside.put_item = Reply::json(400, taken));
    for (body, signature) in [(BODY, SIGNATURE), (BODY, SIGNATURE_OLD_KEY), UNREADABLE] {
        let receipt = world.receive(request(body, signature)).await;
        world.receiver.after_ack(&receipt, &world.invocation(Duration::from_secs(30))).await;
    }
    assert_eq!((world.server.count("/webhook"), world.writes("UpdateItem").len()), (0, 0));
}
