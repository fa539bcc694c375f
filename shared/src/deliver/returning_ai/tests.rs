use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::outside::aws;
use crate::outside::cool_off::COOL_OFF;
use crate::outside::secrets::{COOL_DOWN, MAX_AGE};
use crate::testing::{Asked, Loopback, Reply, settable_clock};

/// A Returning.AI that answers by the script, and the secret that tells of it.
struct World {
    server: Loopback,
    script: Arc<Mutex<Script>>,
    returning_ai: ReturningAi,
}

struct Script {
    /// `workflows` of the secret; nothing while Secrets Manager refuses.
    workflows: Option<Value>,
    /// The next answers of the handshake; then the usual one, with `token-1`, `token-2`, ...
    handshakes: VecDeque<Reply>,
    /// The next answers of the webhook; then success.
    webhooks: VecDeque<Reply>,
    /// Answered 401 wherever it is used.
    refused: &'static str,
    /// A path that is not answered at all.
    silent: &'static str,
    tokens: usize,
}

impl Script {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let sent = |name: &str| asked.header(name).unwrap_or_default().to_owned();
        match asked.path.as_str() {
            path if path == self.silent => Reply::Silence,
            "/" => match (&self.workflows, asked.json()["VersionStage"].as_str()) {
                (Some(workflows), Some("AWSCURRENT")) => {
                    let secret = json!({ "workflows": workflows }).to_string();
                    Reply::json(200, json!({ "SecretString": secret }).to_string())
                }
                (Some(_), _) => Reply::json(400, r#"{"__type":"ResourceNotFoundException"}"#),
                (None, _) => Reply::json(400, r#"{"__type":"AccessDeniedException"}"#),
            },
            _ if [sent("x-session-token"), sent("authorization")].iter().any(|sent| sent == self.refused) => {
                Reply::json(401, r#"{"success":false}"#)
            }
            "/handshake" => self.handshakes.pop_front().unwrap_or_else(|| {
                self.tokens += 1;
                session(&format!("token-{}", self.tokens), Some(&json!(300)))
            }),
            "/webhook" => self
                .webhooks
                .pop_front()
                .unwrap_or_else(|| Reply::json(200, r#"{"success":true,"data":{"received":true}}"#)),
            path => panic!("{path}"),
        }
    }
}

fn session(token: &str, expires_in: Option<&Value>) -> Reply {
    let mut data = json!({ "sessionToken": token });
    if let Some(expires_in) = expires_in {
        data["expiresIn"] = expires_in.clone();
    }
    Reply::json(200, json!({ "success": true, "data": data }).to_string())
}

fn world(clock: Clock) -> World {
    let script = Arc::new(Mutex::new(Script {
        workflows: None,
        handshakes: VecDeque::new(),
        webhooks: VecDeque::new(),
        refused: "nothing",
        silent: "nothing",
        tokens: 0,
    }));
    let answers = Arc::clone(&script);
    let server = Loopback::start(move |_, asked| answers.lock().unwrap().answer(asked));
    let http = Http::new().unwrap();
    let client = aws::secrets_manager(&server.aws(), &http);
    let webhooks = CachedSecret::new(client, "returning-ai".to_owned(), clock, Webhooks::parse);
    let world = World { server, script, returning_ai: ReturningAi::new(http, webhooks, clock) };
    world.set_workflows(json!({ "kyc": world.workflow(&json!({})) }));
    world
}

const MESSAGE: &str = r#"{"eventType":"kyc.approved","amount":1000.00}"#;
static MESSAGE_BYTES: Bytes = Bytes::from_static(MESSAGE.as_bytes());

impl World {
    /// A workflow's entry in the secret, with `changes`.
    fn workflow(&self, changes: &Value) -> Value {
        let url = &self.server.url;
        let mut workflow = json!({
            "handshake_url": format!("{url}/handshake"), "webhook_url": format!("{url}/webhook"), "api_key": "sample-key",
        });
        for (field, value) in changes.as_object().unwrap() {
            workflow[field] = value.clone();
        }
        workflow
    }

    fn set_workflows(&self, workflows: Value) {
        self.script.lock().unwrap().workflows = Some(workflows);
    }

    fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    async fn deliver_by(&self, destination: &Destination) -> Result<u16, DispatchFailure> {
        self.returning_ai.deliver(destination, &MESSAGE_BYTES, CallTime::of_a_person()).await
    }

    async fn deliver_to(&self, workflow: &str) -> Result<u16, DispatchFailure> {
        self.deliver_by(&Destination::Workflow(workflow.to_owned())).await
    }

    async fn deliver(&self) -> Result<u16, DispatchFailure> {
        self.deliver_to("kyc").await
    }

    /// How many handshakes and webhook calls were made.
    fn calls(&self) -> (usize, usize) {
        (self.server.count("/handshake"), self.server.count("/webhook"))
    }

    /// The session tokens of the webhook calls.
    fn tokens(&self) -> Vec<String> {
        let calls = self.server.asked().into_iter().filter(|asked| asked.path == "/webhook");
        calls.map(|asked| asked.header("x-session-token").unwrap_or("-").to_owned()).collect()
    }
}

fn advance(now: &AtomicU64, span: Duration) {
    now.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
}

/// A failure in a line: code, status, `Retry-After` in seconds, and whether it is permanent.
fn told(outcome: Result<u16, DispatchFailure>) -> Result<u16, String> {
    outcome.map_err(|failure| {
        let pause = failure.retry_after.map(|pause| format!(" after {}", pause.as_secs())).unwrap_or_default();
        format!("{}{pause}{}", failure.summary(), if failure.code.is_permanent() { ", permanent" } else { "" })
    })
}

mod requests {
    use super::*;

    const HEADERS: [&str; 4] = ["authorization", "x-api-key", "x-session-token", "content-type"];

    fn sent(asked: &Asked) -> (&str, &str, [Option<&str>; 4], &str) {
        (&asked.method, &asked.path, HEADERS.map(|name| asked.header(name)), &asked.body)
    }

    const JSON: Option<&str> = Some("application/json");

    #[tokio::test]
    async fn each_says_who_sends_it_and_how_long_it_is() {
        let own_name = format!("bridge/{}", env!("CARGO_PKG_VERSION"));
        let asked = asked_of(json!({})).await;
        assert_eq!(asked.len(), 2);
        for asked in asked {
            assert_eq!(asked.header("user-agent"), Some(own_name.as_str()), "{asked:?}");
            assert_eq!(asked.header("content-length"), Some(asked.body.len().to_string().as_str()), "{asked:?}");
        }
    }

    async fn asked_of(changes: Value) -> Vec<Asked> {
        let (clock, _) = settable_clock!();
        let world = world(clock);
        world.set_workflows(json!({ "kyc": world.workflow(&changes) }));
        assert_eq!(world.deliver().await, Ok(200));
        world.server.asked().into_iter().filter(|asked| asked.path != "/").collect()
    }

    #[tokio::test]
    async fn the_api_key_goes_to_the_handshake_alone_and_the_token_to_the_webhook() {
        let webhook = ("POST", "/webhook", [None, None, Some("token-1"), JSON], MESSAGE);

        let asked = asked_of(json!({})).await;
        let handshake = ("POST", "/handshake", [Some("sample-key"), None, None, JSON], "");
        assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), [handshake, webhook]);

        let asked = asked_of(json!({ "api_key_header": "x-api-key", "mode": "session" })).await;
        let handshake = ("POST", "/handshake", [None, Some("sample-key"), None, JSON], "");
        assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), [handshake, webhook]);
    }

    #[tokio::test]
    async fn in_legacy_mode_the_api_key_goes_to_the_webhook_and_there_is_no_handshake() {
        for (header, headers) in [
            (json!(null), [Some("sample-key"), None, None, JSON]),
            (json!("authorization"), [Some("sample-key"), None, None, JSON]),
            (json!("x-api-key"), [None, Some("sample-key"), None, JSON]),
        ] {
            let asked = asked_of(json!({ "mode": "legacy", "handshake_url": null, "api_key_header": header })).await;
            assert_eq!(asked.iter().map(sent).collect::<Vec<_>>(), [("POST", "/webhook", headers, MESSAGE)]);
        }
    }
}

mod sessions {
    use super::*;

    #[tokio::test]
    async fn a_live_token_serves_again() {
        let (clock, _) = settable_clock!();
        let world = world(clock);
        for _ in 0..3 {
            assert_eq!(world.deliver().await, Ok(200));
        }
        assert_eq!(world.tokens(), ["token-1", "token-1", "token-1"]);
        assert_eq!(world.calls(), (1, 3));
    }

    #[tokio::test]
    async fn a_token_is_given_up_thirty_seconds_before_it_expires() {
        let (clock, now) = settable_clock!();
        for (expires_in, life_s) in [
            (Some(json!(300)), 270),
            (Some(json!(40)), 10),
            // Documented as 300 s, for an answer that does not tell.
            (None, 270),
            (Some(json!("600")), 570),
            (Some(json!(" 59.9 ")), 29),
            (Some(json!(59.9)), 29),
            (Some(json!(-1)), 270),
            (Some(json!("inf")), 270),
            (Some(json!("soon")), 270),
        ] {
            let world = world(clock);
            world.set(|script| script.handshakes.push_back(session("first", expires_in.as_ref())));
            assert_eq!(world.deliver().await, Ok(200));
            advance(now, Duration::from_secs(life_s) - Duration::from_millis(1));
            assert_eq!(world.deliver().await, Ok(200));
            advance(now, Duration::from_millis(1));
            assert_eq!(world.deliver().await, Ok(200));
            assert_eq!(world.tokens(), ["first", "first", "token-1"], "{expires_in:?}");
        }
    }

    #[tokio::test]
    async fn a_token_that_lives_no_longer_than_the_margin_serves_once() {
        let (clock, _) = settable_clock!();
        let world = world(clock);
        for token in ["a", "b"] {
            world.set(|script| script.handshakes.push_back(session(token, Some(&json!(30)))));
            assert_eq!(world.deliver().await, Ok(200));
        }
        assert_eq!(world.tokens(), ["a", "b"]);
    }

    #[tokio::test]
    async fn each_workflow_has_its_own_token() {
        let (clock, _) = settable_clock!();
        let world = world(clock);
        world.set_workflows(json!({ "kyc": world.workflow(&json!({})), "deposit": world.workflow(&json!({})) }));
        for workflow in ["kyc", "deposit", "kyc", "deposit"] {
            assert_eq!(world.deliver_to(workflow).await, Ok(200));
        }
        assert_eq!(world.tokens(), ["token-1", "token-2", "token-1", "token-2"]);
    }

    #[tokio::test]
    async fn however_many_deliveries_wait_for_a_token_there_is_one_handshake() {
        let (clock, _) = settable_clock!();
        let world = world(clock);
        let outcomes = join_all((0..64).map(|_| world.deliver())).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Ok(200)), "{outcomes:?}");
        assert_eq!(world.calls(), (1, 64));
    }

    #[tokio::test]
    async fn a_token_that_is_refused_to_many_is_replaced_by_one_handshake() {
        let (clock, _) = settable_clock!();
        let world = world(clock);
        assert_eq!(world.deliver().await, Ok(200));
        world.set(|script| script.refused = "token-1");
        let outcomes = join_all((0..64).map(|_| world.deliver())).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Ok(200)), "{outcomes:?}");
        assert_eq!(world.calls().0, 2);
        assert_eq!(world.tokens().iter().filter(|token| *token == "token-2").count(), 64);
    }

    #[tokio::test]
    async fn a_failed_handshake_is_made_again_by_the_next_delivery() {
        let (clock, _) = settable_clock!();
        let world = world(clock);
        world.set(|script| script.handshakes.push_back(Reply::json(503, "")));
        assert_eq!(told(world.deliver().await), Err("server_error 503".to_owned()));
        assert_eq!(world.deliver().await, Ok(200));
        assert_eq!(world.calls(), (2, 1));
    }

    #[tokio::test]
    async fn unauthorized_makes_one_more_handshake_and_one_more_try() {
        let (clock, _) = settable_clock!();
        for status in [401, 403] {
            let world = world(clock);
            world.set(|script| script.webhooks.push_back(Reply::json(status, "")));
            assert_eq!(world.deliver().await, Ok(200));
            assert_eq!((world.calls(), world.tokens().concat().as_str()), ((2, 2), "token-1token-2"));
        }
    }

    #[tokio::test]
    async fn unauthorized_twice_is_a_transient_failure() {
        let (clock, _) = settable_clock!();
        for status in [401, 403] {
            let world = world(clock);
            world.set(|script| script.webhooks.extend([Reply::json(status, ""), Reply::json(status, "")]));
            assert_eq!(told(world.deliver().await), Err(format!("unauthorized {status}")));
            assert_eq!(world.calls(), (2, 2));
            // Nor is the second token kept.
            assert_eq!(world.deliver().await, Ok(200));
            assert_eq!(world.tokens(), ["token-1", "token-2", "token-3"]);
        }
    }

    #[tokio::test]
    async fn unauthorized_in_legacy_mode_is_not_tried_again_with_the_same_key() {
        let (clock, _) = settable_clock!();
        let world = world(clock);
        world.set_workflows(json!({ "kyc": world.workflow(&json!({ "mode": "legacy" })) }));
        world.set(|script| script.webhooks.push_back(Reply::json(401, "")));
        assert_eq!(told(world.deliver().await), Err("unauthorized 401".to_owned()));
        assert_eq!(world.calls(), (0, 1));
    }
}

mod a_handshake_alone {
    use super::*;

    #[tokio::test]
    async fn is_judged_as_a_delivery_judges_it_and_sends_no_message() {
        let (world, clock) = (world(Clock::system()), Clock::system());
        let http = Http::new().unwrap();
        let legacy = world.workflow(&json!({ "mode": "legacy" }));
        let unreachable = world.workflow(&json!({ "handshake_url": "http://127.0.0.1:9/" }));
        let secret = json!({ "workflows": { "kyc": world.workflow(&json!({})), "chat": legacy, "far": unreachable } });
        let (webhooks, problems) = Webhooks::parse(&secret.to_string());
        assert_eq!(problems, []);
        let webhooks = webhooks.unwrap();

        for (reply, opened, status) in [
            (session("token", None), true, 200),
            (Reply::json(200, "{}"), false, 200),
            (Reply::json(401, r#"{"success":false}"#), false, 401),
            (Reply::json(200, r#"{"success":false,"data":{"sessionToken":"token"}}"#), false, 200),
        ] {
            world.set(|script| script.handshakes.push_back(reply));
            let handshake = webhooks.handshake("kyc", &http, clock).await.unwrap().unwrap();
            assert_eq!((handshake.opened, handshake.answer.status.as_u16()), (opened, status));
        }
        assert_eq!(world.calls(), (4, 0));
        for without in ["chat", "nowhere"] {
            assert!(webhooks.handshake(without, &http, clock).await.is_none(), "{without}");
        }
        let error = webhooks.handshake("far", &http, clock).await.unwrap().err().unwrap();
        assert!(matches!(error, ExchangeError::ConnectionFailed(_)), "{error:?}");
    }
}

mod the_secret {
    use super::*;

    #[tokio::test]
    async fn is_read_again_for_a_workflow_that_it_did_not_have() {
        let (clock, now) = settable_clock!();
        let world = world(clock);
        assert_eq!(told(world.deliver_to("deposit").await), Err("workflow_unknown".to_owned()));
        world.set_workflows(json!({ "deposit": world.workflow(&json!({})) }));
        assert_eq!(told(world.deliver_to("deposit").await), Err("workflow_unknown".to_owned()));
        advance(now, COOL_DOWN);
        assert_eq!(world.deliver_to("deposit").await, Ok(200));
        // And the one that was taken out is unknown now.
        assert_eq!(told(world.deliver().await), Err("workflow_unknown".to_owned()));
    }

    #[tokio::test]
    async fn is_read_again_when_the_api_key_is_refused() {
        let (clock, now) = settable_clock!();
        for mode in ["session", "legacy"] {
            let world = world(clock);
            world.set_workflows(json!({ "kyc": world.workflow(&json!({ "mode": mode })) }));
            world.set(|script| script.refused = "sample-key");
            world.returning_ai.webhooks.value().await.unwrap();
            world.set_workflows(json!({ "kyc": world.workflow(&json!({ "mode": mode, "api_key": "new-key" })) }));
            assert!(world.deliver().await.is_err_and(|failure| failure.status == Some(401)), "{mode}");
            advance(now, COOL_DOWN);
            assert_eq!(world.deliver().await, Ok(200), "{mode}");
        }
    }

    #[tokio::test]
    async fn that_cannot_be_read_is_a_transient_failure_until_it_can() {
        let (clock, now) = settable_clock!();
        let world = world(clock);
        world.set(|script| script.workflows = None);
        assert_eq!(told(world.deliver().await), Err("workflows_unavailable".to_owned()));
        world.set_workflows(json!({ "kyc": world.workflow(&json!({})) }));
        assert_eq!(world.deliver().await, Ok(200));
        // Once read, it serves on however old it is.
        world.set(|script| script.workflows = None);
        advance(now, 100 * MAX_AGE);
        assert_eq!(world.deliver().await, Ok(200));
    }

    #[tokio::test]
    async fn with_one_bad_entry_serves_the_others_and_the_bad_one_once_it_is_mended() {
        let (clock, now) = settable_clock!();
        let world = world(clock);
        let (sound, bad) =
            (world.workflow(&json!({})), world.workflow(&json!({ "webhook_url": "http://example.com" })));
        world.set_workflows(json!({ "kyc": sound, "deposit": bad }));
        assert_eq!(world.deliver().await, Ok(200));
        assert_eq!(told(world.deliver_to("deposit").await), Err("workflow_unusable".to_owned()));
        assert_eq!(told(world.deliver_to("absent").await), Err("workflow_unknown".to_owned()));
        assert_eq!(world.deliver().await, Ok(200));
        world.set_workflows(json!({ "kyc": sound, "deposit": sound }));
        advance(now, COOL_DOWN);
        assert_eq!(world.deliver_to("deposit").await, Ok(200));
    }

    #[tokio::test]
    async fn is_read_by_the_first_delivery_and_not_before() {
        let (clock, _) = settable_clock!();
        let world = world(clock);
        world.returning_ai.refresh_ahead().await;
        assert_eq!(world.server.count("/"), 0);
        for _ in 0..2 {
            assert_eq!(world.deliver().await, Ok(200));
            assert_eq!(world.server.count("/"), 1);
        }
    }
}

mod answers {
    use super::*;

    /// What a message comes to that is answered so.
    async fn outcome(clock: Clock, reply: Reply) -> Result<u16, String> {
        let world = world(clock);
        world.set(|script| script.webhooks.push_back(reply));
        told(world.deliver().await)
    }

    #[tokio::test]
    async fn a_2xx_is_success_unless_it_says_otherwise_or_cannot_be_read() {
        let (clock, _) = settable_clock!();
        for (status, body, expected) in [
            (200, "", Ok(200)),
            (204, "", Ok(204)),
            (200, r#"{"success":true,"data":{"received":true}}"#, Ok(200)),
            (201, r#"{"data":{}}"#, Ok(201)),
            (202, " \r\n", Ok(202)),
            (200, "\u{feff}{}", Ok(200)),
            (202, "null", Err("answer_unreadable 202")),
            (200, "[]", Err("answer_unreadable 200")),
            (200, r#"{"success":null}"#, Ok(200)),
            (200, r#"{"success":false}"#, Err("reported_failure 200")),
            (202, r#"{"success":false,"error":"of no use"}"#, Err("reported_failure 202")),
            (200, "<html>", Err("answer_unreadable 200")),
            (200, "OK", Err("answer_unreadable 200")),
            (200, r#"{"success":tr"#, Err("answer_unreadable 200")),
        ] {
            assert_eq!(
                outcome(clock, Reply::json(status, body)).await,
                expected.map_err(str::to_owned),
                "{status} {body}"
            );
        }
    }

    #[tokio::test]
    async fn every_other_status_is_a_failure_and_only_a_refused_message_is_permanent() {
        let (clock, _) = settable_clock!();
        for (status, expected) in [
            (300, "unexpected_status 300"),
            (301, "unexpected_status 301"),
            (302, "unexpected_status 302"),
            (304, "unexpected_status 304"),
            (307, "unexpected_status 307"),
            (400, "refused 400, permanent"),
            (402, "unexpected_status 402"),
            (404, "not_found 404"),
            (405, "unexpected_status 405"),
            (408, "unexpected_status 408"),
            (409, "unexpected_status 409"),
            (410, "not_found 410"),
            (413, "refused 413, permanent"),
            (422, "refused 422, permanent"),
            (429, "throttled 429"),
            (500, "server_error 500"),
            (502, "server_error 502"),
            (503, "server_error 503"),
            (504, "server_error 504"),
            (599, "server_error 599"),
            (600, "unexpected_status 600"),
        ] {
            // The body does not change it, whatever it says.
            for body in ["", "<html>", r#"{"success":true}"#] {
                let body = if status == 304 { "" } else { body };
                assert_eq!(
                    outcome(clock, Reply::json(status, body)).await,
                    Err(expected.to_owned()),
                    "{status} {body}"
                );
            }
        }
    }

    #[tokio::test]
    async fn retry_after_is_told_with_the_failure() {
        let (clock, _) = settable_clock!();
        for (status, retry_after, expected) in [
            (429, "120", "throttled 429 after 120"),
            (503, "0", "server_error 503 after 0"),
            // The clock stands at 20:12:57.
            (429, "Wed, 14 May 2025 20:14:57 GMT", "throttled 429 after 120"),
            (429, "Wed, 14 May 2025 20:12:57 GMT", "throttled 429 after 0"),
            (429, "Mon, 05 May 2025 20:12:57 GMT", "throttled 429 after 0"),
            (429, "soon", "throttled 429 after 1"),
            (503, "2026-11-26", "server_error 503 after 1"),
            (429, "-1", "throttled 429 after 0"),
            (429, "1.5", "throttled 429 after 1"),
            (429, "", "throttled 429 after 1"),
            (429, "99999999999999999999", "throttled 429 after 43200"),
            (404, "5", "not_found 404 after 5"),
        ] {
            let reply = Reply::Answer(status, vec![("retry-after", retry_after.to_owned())], String::new());
            assert_eq!(outcome(clock, reply).await, Err(expected.to_owned()), "{retry_after}");
        }
    }

    #[tokio::test]
    async fn a_handshake_that_fails_always_passes_and_nothing_of_the_event_is_sent() {
        let (clock, _) = settable_clock!();
        for (status, body, expected) in [
            (400, "", "handshake_refused 400"),
            (401, "", "handshake_refused 401"),
            (403, "", "handshake_refused 403"),
            (413, "", "handshake_refused 413"),
            (422, "", "handshake_refused 422"),
            (404, "", "not_found 404"),
            (429, "", "throttled 429"),
            (500, "", "server_error 500"),
            (302, "", "unexpected_status 302"),
            (200, "<html>", "answer_unreadable 200"),
            (200, r#"{"success":false}"#, "reported_failure 200"),
            (200, "", "handshake_unreadable 200"),
            (200, "{}", "handshake_unreadable 200"),
            (200, r#"{"success":true,"sessionToken":"outdated"}"#, "handshake_unreadable 200"),
            (200, r#"{"data":{"sessionToken":""}}"#, "handshake_unreadable 200"),
            (200, r#"{"data":{"sessionToken":7}}"#, "handshake_unreadable 200"),
            (200, r#"{"data":{"sessionToken":"a\nb"}}"#, "handshake_unreadable 200"),
        ] {
            let world = world(clock);
            world.set(|script| script.handshakes.push_back(Reply::json(status, body)));
            assert_eq!(told(world.deliver().await), Err(expected.to_owned()), "{status} {body}");
            assert_eq!(world.calls(), (1, 0), "{status} {body}");
        }
    }

    #[tokio::test]
    async fn no_answer_is_a_transient_failure() {
        let (clock, _) = settable_clock!();
        assert_eq!(outcome(clock, Reply::HangUp).await, Ok(200), "the one free retry");

        let world = world(clock);
        world.set(|script| script.webhooks.extend([Reply::HangUp, Reply::HangUp]));
        assert_eq!(told(world.deliver().await), Err("connection_lost".to_owned()));

        let nobody = Loopback::nobody();
        let elsewhere = world.workflow(&json!({ "webhook_url": format!("{}/webhook", nobody.url) }));
        world.set_workflows(json!({ "elsewhere": elsewhere }));
        let world = World { returning_ai: fresh(&world, clock), ..world };
        assert_eq!(told(world.deliver_to("elsewhere").await), Err("connection_failed".to_owned()));
    }

    /// Another client of the same world, with nothing kept.
    fn fresh(world: &World, clock: Clock) -> ReturningAi {
        let http = Http::new().unwrap();
        let client = aws::secrets_manager(&world.server.aws(), &http);
        ReturningAi::new(http, CachedSecret::new(client, "returning-ai".to_owned(), clock, Webhooks::parse), clock)
    }

    #[tokio::test]
    async fn a_delivery_ends_by_its_deadline_whatever_hangs() {
        let (clock, now) = settable_clock!();
        let world = world(clock);
        let kyc = Destination::Workflow("kyc".to_owned());
        let time = |ms| CallTime { ends_at: Instant::now() + Duration::from_millis(ms), spares_slow_systems: false };
        let at_once = || world.returning_ai.deliver(&kyc, &MESSAGE_BYTES, time(0));
        let no_time = Err("no_time".to_owned());

        world.set(|script| script.silent = "/");
        assert_eq!(told(at_once().await), no_time);
        world.set(|script| script.silent = "nothing");
        world.returning_ai.webhooks.value().await.unwrap();
        world.set(|script| script.silent = "/handshake");
        assert_eq!(told(at_once().await), no_time);
        world.set(|script| script.silent = "nothing");
        assert_eq!(world.deliver().await, Ok(200));
        world.set(|script| script.silent = "/webhook");
        assert_eq!(told(at_once().await), no_time);

        // Three seconds of its own are enough to say that it hangs, and it cools off.
        assert_eq!(world.returning_ai.cools_off_for(&kyc), None);
        let outcome = world.returning_ai.deliver(&kyc, &MESSAGE_BYTES, time(3_050)).await;
        assert_eq!(told(outcome), Err("timeout".to_owned()));
        assert_eq!(world.returning_ai.cools_off_for(&kyc), Some(COOL_OFF));
        assert_eq!(world.returning_ai.cools_off_for(&Destination::Workflow("other".to_owned())), None);

        // What hung before leaves nothing behind that the next delivery would wait for.
        world.set(|script| script.silent = "nothing");
        advance(now, MAX_AGE);
        assert_eq!(world.deliver().await, Ok(200));
    }
}
