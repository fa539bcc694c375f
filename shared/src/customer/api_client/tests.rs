use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::outside::aws;
use crate::outside::secrets::COOL_DOWN;
use crate::record::failure::Blame;
use crate::testing::{Asked, Loopback, Reply, settable_clock};

const API: ProviderApi = ProviderApi {
    secret_variable: "SAMPLE_API_SECRET_ID",
    scope: "accounts:read forms:read",
    lookups: &[Lookup { kind: "sample-account", path: "/v1/accounts/deposits/", answer: "/data/customer_id" }],
};

/// A provider's API and the Secrets Manager that knows of it, answering by the script.
struct World {
    server: Loopback,
    script: Arc<Mutex<Script>>,
    client: ApiClient,
}

#[derive(Default)]
struct Script {
    client_secret: &'static str,
    /// The next answers of the token endpoint; then `token-1`, `token-2`, ... for 900 s.
    tokens: VecDeque<Reply>,
    /// The next answers to a question; then customer C-1001.
    answers: VecDeque<Reply>,
    given: usize,
}

impl Script {
    fn answer(&mut self, url: &str, asked: &Asked) -> Reply {
        match asked.path.split('?').next() {
            Some("/") => {
                let secret = json!({
                    "base_url": format!("{url}/api"), "token_url": format!("{url}/oauth2/sample/v1/token"),
                    "client_id": "sample-client", "client_secret": self.client_secret,
                });
                Reply::json(200, json!({ "SecretString": secret.to_string() }).to_string())
            }
            Some("/oauth2/sample/v1/token") => self.tokens.pop_front().unwrap_or_else(|| {
                self.given += 1;
                token(&format!("token-{}", self.given), 900)
            }),
            _ => self.answers.pop_front().unwrap_or_else(|| customer("C-1001")),
        }
    }
}

fn token(token: &str, expires_in: u64) -> Reply {
    Reply::json(200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in }).to_string())
}

fn customer(id: &str) -> Reply {
    Reply::json(200, json!({ "data": { "id": "A-1", "customer_id": id } }).to_string())
}

fn world(clock: Clock) -> World {
    let script = Arc::new(Mutex::new(Script { client_secret: "sample-secret", ..Script::default() }));
    let url = Arc::new(Mutex::new(String::new()));
    let (answers, own_url) = (Arc::clone(&script), Arc::clone(&url));
    let server = Loopback::start(move |_, asked| {
        let url = own_url.lock().unwrap().clone();
        answers.lock().unwrap().answer(&url, asked)
    });
    *url.lock().unwrap() = server.url.clone();
    let http = Http::new().unwrap();
    let secrets = aws::secrets_manager(&server.aws(), &http);
    let account = CachedSecret::new(secrets, "api".to_owned(), clock, ApiAccount::parse);
    World { server, script, client: ApiClient::new("sample", &API, http, account, clock) }
}

impl World {
    async fn ask(&self, id: &str) -> Result<Option<String>, String> {
        let answer = self.client.customer_of(&API.lookups[0], id, CallTime::of_a_person()).await;
        answer.map_err(|failure| {
            assert!(!failure.code.is_permanent(), "{failure:?}");
            let pause = failure.retry_after.map(|pause| format!(" after {}", pause.as_secs())).unwrap_or_default();
            format!("{}{pause}", failure.summary())
        })
    }

    fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// Method, path and authorization of what the API was asked.
    fn asked(&self) -> Vec<String> {
        let asked = self.server.asked().into_iter().filter(|asked| asked.path != "/");
        asked
            .map(|asked| {
                let authorization = asked.header("authorization").unwrap_or("-").to_owned();
                format!("{} {} {authorization}", asked.method, asked.path)
            })
            .collect()
    }
}

fn known(id: &str) -> Result<Option<String>, String> {
    Ok(Some(id.to_owned()))
}

const LOGIN: &str = "POST /oauth2/sample/v1/token?grant_type=client_credentials&scope=accounts%3Aread+forms%3Aread \
                     Basic c2FtcGxlLWNsaWVudDpzYW1wbGUtc2VjcmV0";

#[tokio::test]
async fn every_request_says_who_sends_it_and_a_login_that_it_is_empty() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    assert_eq!(world.ask("A-1").await, known("C-1001"));
    let own_name = format!("bridge/{}", env!("CARGO_PKG_VERSION"));
    let asked: Vec<Asked> = world.server.asked().into_iter().filter(|asked| asked.path != "/").collect();
    assert!(asked.iter().all(|asked| asked.header("user-agent") == Some(&own_name)), "{asked:?}");
    let lengths: Vec<_> = asked.iter().map(|asked| asked.header("content-length")).collect();
    assert_eq!(lengths, [Some("0"), None]);
}

#[tokio::test]
async fn one_token_serves_all_questions_until_it_expires() {
    let (clock, now) = settable_clock!();
    let world = world(clock);
    assert_eq!(world.ask("A-1").await, known("C-1001"));
    assert_eq!(world.ask("A-2").await, known("C-1001"));
    now.fetch_add(870_000, Ordering::Relaxed);
    assert_eq!(world.ask("A-3").await, known("C-1001"));
    assert_eq!(
        world.asked(),
        [
            LOGIN,
            "GET /api/v1/accounts/deposits/A-1 Bearer token-1",
            "GET /api/v1/accounts/deposits/A-2 Bearer token-1",
            LOGIN,
            "GET /api/v1/accounts/deposits/A-3 Bearer token-2",
        ]
    );
}

#[tokio::test]
async fn however_many_ask_one_token_is_fetched() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let ids: Vec<String> = (0..20).map(|n| format!("A-{n}")).collect();
    let answers = join_all(ids.iter().map(|id| world.ask(id))).await;
    assert!(answers.iter().all(|answer| *answer == known("C-1001")), "{answers:?}");
    assert_eq!(world.asked().iter().filter(|asked| **asked == LOGIN).count(), 1);
}

#[tokio::test]
async fn an_id_is_one_segment_of_the_path_whatever_it_holds() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    for (id, expected) in [
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        ("%2e%2e", "%252e%252e"),
        ("é 1", "%C3%A9%201"),
        ("...", "..."),
        ("a..b", "a..b"),
    ] {
        assert_eq!(world.ask(id).await, known("C-1001"), "{id}");
        let asked = world.asked();
        assert_eq!(asked.last().unwrap(), &format!("GET /api/v1/accounts/deposits/{expected} Bearer token-1"));
    }
    let before = world.asked().len();
    for id in ["", ".", ".."] {
        assert_eq!(world.ask(id).await, Ok(None), "{id}");
    }
    assert_eq!(world.asked().len(), before, "nothing was asked");
}

#[tokio::test]
async fn each_answer_has_its_code() {
    let (clock, _) = settable_clock!();
    let error = |status| Reply::json(status, r#"{"errors":[{"code":"SAMPLE","description":"sample"}]}"#);
    for (reply, expected) in [
        (customer("C-7"), known("C-7")),
        (customer(""), Ok(None)),
        (Reply::json(200, r#"{"data":{"customer_id":null}}"#), Ok(None)),
        (Reply::json(200, r#"{"data":{"customer_id":9007199254740993}}"#), known("9007199254740993")),
        (Reply::json(200, r#"{"data":{"customer_id":true}}"#), Ok(None)),
        (Reply::json(200, "{}"), Ok(None)),
        (error(400), Ok(None)),
        (error(404), Ok(None)),
        (error(410), Ok(None)),
        (error(403), Err("provider_api_forbidden 403".to_owned())),
        (error(500), Err("provider_api_error 500".to_owned())),
        (error(302), Err("provider_api_error 302".to_owned())),
        (
            Reply::Answer(429, vec![("retry-after", "7".to_owned())], String::new()),
            Err("provider_api_throttled 429 after 7".to_owned()),
        ),
        (Reply::json(200, "<html>"), Err("provider_api_unreadable 200".to_owned())),
        (
            Reply::json(200, "\u{feff}{\"note\":\"\\ud800\",\"n\":1e999,\"data\":{\"customer_id\":\"C-8\"}}"),
            known("C-8"),
        ),
    ] {
        let world = world(clock);
        world.set(|script| script.answers.push_back(reply.clone()));
        assert_eq!(world.ask("A-1").await, expected, "{reply:?}");
        assert_eq!(world.asked().len(), 2, "{reply:?}");
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    world.set(|script| script.answers.push_back(Reply::json(401, "{}")));
    assert_eq!(world.ask("A-1").await, known("C-1001"));
    let question = |token: &str| format!("GET /api/v1/accounts/deposits/A-1 Bearer {token}");
    assert_eq!(world.asked(), [LOGIN, &question("token-1"), LOGIN, &question("token-2")]);

    world.set(|script| script.answers.extend([Reply::json(401, "{}"), Reply::json(401, "{}")]));
    assert_eq!(world.ask("A-1").await, Err("provider_api_unauthorized 401".to_owned()));
    assert_eq!(world.asked().len(), 4 + 3, "two questions and one login, and no more");
}

#[tokio::test]
async fn a_refused_login_has_its_code_and_reads_the_secret_again() {
    let (clock, now) = settable_clock!();
    for (reply, expected) in [
        (Reply::json(401, r#"{"error":"invalid_client"}"#), "provider_api_login_refused 401"),
        (Reply::json(400, r#"{"error":"invalid_scope"}"#), "provider_api_scope_refused 400"),
        (Reply::json(400, r#"{"error":"invalid_request"}"#), "provider_api_login_refused 400"),
        (Reply::json(403, "{}"), "provider_api_login_refused 403"),
        (Reply::json(429, "{}"), "provider_api_throttled 429"),
        (Reply::json(503, "{}"), "provider_api_error 503"),
        (Reply::json(200, "{}"), "provider_api_unreadable 200"),
        (token("", 900), "provider_api_unreadable 200"),
        (token("a\nb", 900), "provider_api_unreadable 200"),
    ] {
        let world = world(clock);
        world.set(|script| script.tokens.push_back(reply.clone()));
        assert_eq!(world.ask("A-1").await, Err(expected.to_owned()), "{reply:?}");
        assert_eq!(world.asked(), [LOGIN], "{reply:?}");
    }

    let world = world(clock);
    assert_eq!(world.ask("A-1").await, known("C-1001"));
    now.fetch_add(900_000, Ordering::Relaxed);
    world.client.account.value().await.unwrap();
    now.fetch_add(u64::try_from(COOL_DOWN.as_millis()).unwrap(), Ordering::Relaxed);
    world.set(|script| {
        script.client_secret = "sample-secret-2";
        script.tokens.push_back(Reply::json(401, "{}"));
    });
    assert_eq!(world.ask("A-2").await, known("C-1001"));
    let logins: Vec<_> = world.asked().into_iter().filter(|asked| asked.starts_with("POST")).collect();
    assert_eq!(logins[..2], [LOGIN, LOGIN]);
    assert!(logins.len() == 3 && logins[2] != LOGIN, "{logins:?}");
}

#[tokio::test]
async fn an_api_that_is_not_there_is_unreachable() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    world.set(|script| script.tokens.extend([Reply::HangUp, Reply::HangUp]));
    assert_eq!(world.ask("A-1").await, Err("provider_api_unreachable".to_owned()));
    world.set(|script| script.answers.extend([Reply::HangUp, Reply::HangUp]));
    assert_eq!(world.ask("A-1").await, Err("provider_api_unreachable".to_owned()));
}

#[tokio::test]
async fn any_call_can_be_made_and_its_answer_is_read_whatever_the_status() {
    let (clock, _) = settable_clock!();
    let world = world(clock);
    let (body, id) = (json!({ "a": 1 }), HeaderValue::from_static("id-1"));
    let call = ApiCall {
        method: Method::POST,
        path: &["v1", "forms", "a/b"],
        query: Some("page=2&size=3"),
        header: Some((HeaderName::from_static("x-sample-id"), id)),
        body: Some(&body),
    };
    world.set(|script| script.answers.extend([Reply::json(401, "{}"), Reply::json(422, r#"{"errors":[]}"#)]));
    let answer = world.client.call(&call, CallTime::of_a_person()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (422, br#"{"errors":[]}"#.as_slice()));
    let asked = world.server.asked();
    let last = asked.last().unwrap();
    assert_eq!((last.method.as_str(), last.path.as_str()), ("POST", "/api/v1/forms/a%2Fb?page=2&size=3"));
    assert_eq!((last.header("x-sample-id"), last.header("content-type")), (Some("id-1"), Some("application/json")));
    assert_eq!((last.header("authorization"), last.body.as_str()), (Some("Bearer token-2"), r#"{"a":1}"#));
}

#[test]
fn a_turn_is_for_those_who_ask_the_same_at_the_same_time() {
    let (clock, _) = settable_clock!();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let world = runtime.block_on(async { world(clock) });
    let first = world.client.turn("sample-account:A-1");
    assert!(Arc::ptr_eq(&first, &world.client.turn("sample-account:A-1")));
    assert!(!Arc::ptr_eq(&first, &world.client.turn("sample-account:A-2")));
    assert_eq!(world.client.asking.lock().unwrap().len(), 2);
    drop(first);
    world.client.turn("sample-account:A-3");
    assert_eq!(world.client.asking.lock().unwrap().len(), 1, "what nobody asks any more is forgotten");
}

mod secret_text {
    use super::*;

    fn parse(secret: &str) -> Result<ApiAccount, String> {
        let (account, problems) = ApiAccount::parse(secret);
        assert_eq!(account.is_some(), problems.is_empty());
        account.ok_or_else(|| problems[0].to_string())
    }

    #[test]
    fn that_is_wrong_names_the_field_and_never_its_value() {
        let sound = json!({
            "base_url": "https://example.com/api", "token_url": "https://example.com/token",
            "client_id": "hunter1", "client_secret": "hunter2",
        });
        for mark in ["", "\u{feff}"] {
            assert_eq!(format!("{:?}", parse(&format!("{mark}{sound}")).unwrap()), "ApiAccount(..)");
        }
        for (field, value, expected) in [
            (
                "base_url",
                json!("http://example.com/hunter2"),
                "base_url: an https URL, or an http one on this machine expected",
            ),
            ("token_url", json!(7), "token_url: an https URL, or an http one on this machine expected"),
            ("client_id", json!(""), "client_id: a non-empty string expected"),
            ("client_secret", json!(null), "client_secret: a non-empty string expected"),
        ] {
            let mut secret = sound.clone();
            secret[field] = value;
            assert_eq!(parse(&secret.to_string()).map(|_| ()), Err(expected.to_owned()));
        }
        let (_, problems) = ApiAccount::parse(r#"{"base_url":"REPLACE-ME","client_id":7}"#);
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["base_url", "token_url", "client_id", "client_secret"]);
        assert_eq!(parse("hunter2").map(|_| ()), Err("the secret: a JSON object expected".to_owned()));
    }
}

/// The time that an attempt still has, in milliseconds.
fn time(ms: u64, spares_slow_systems: bool) -> CallTime {
    CallTime { ends_at: Instant::now() + Duration::from_millis(ms), spares_slow_systems }
}

#[tokio::test]
async fn an_api_that_hangs_has_a_code_of_its_own_and_cools_off_for_those_who_cannot_wait() {
    let (clock, now) = settable_clock!();
    let world = world(clock);
    let ask = async |time| {
        let answer = world.client.customer_of(&API.lookups[0], "A-1", time).await;
        answer.map_err(|failure| (failure.summary(), failure.code.blames(), failure.retry_after))
    };
    assert_eq!(world.ask("A-1").await, known("C-1001"));

    // No time of its own: it is nobody's fault, and the API is asked on.
    world.set(|script| script.answers.push_back(Reply::Silence));
    assert_eq!(ask(time(50, true)).await, Err(("no_time".to_owned(), Blame::Nobody, None)));
    assert_eq!(ask(time(5_000, true)).await, Ok(Some("C-1001".to_owned())));

    world.set(|script| script.answers.push_back(Reply::Silence));
    let hanging = ("provider_api_timeout".to_owned(), Blame::ProviderApi, None);
    assert_eq!(ask(time(3_050, true)).await, Err(hanging));
    let asked = world.asked().len();
    let cooling = |left| ("cooling_off".to_owned(), Blame::Nobody, Some(Duration::from_secs(left)));
    assert_eq!(ask(time(5_000, true)).await, Err(cooling(30)));
    now.fetch_add(29_000, Ordering::Relaxed);
    assert_eq!(ask(time(5_000, true)).await, Err(cooling(1)));
    assert_eq!(world.asked().len(), asked);
    // Redrive has time.
    assert_eq!(ask(time(5_000, false)).await, Ok(Some("C-1001".to_owned())));
    now.fetch_add(1_000, Ordering::Relaxed);
    assert_eq!(ask(time(5_000, true)).await, Ok(Some("C-1001".to_owned())));
}
