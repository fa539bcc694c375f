use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::clock::{Clock, UnixMillis};
use crate::customer::api_client::ApiAccount;
use crate::customer::provider_api::ProviderApi;
use crate::outside::aws;
use crate::outside::http::Http;
use crate::outside::secrets::CachedSecret;
use crate::testing::{Loopback, Reply};
use route::routes::Known;

const API: ProviderApi = ProviderApi { secret_variable: "SAMPLE_API_SECRET_ID", scope: "", lookups: &[] };

const BODY: &str = r#"{"account":"A-1","payment":7,"odd":"a/b %?","up":"..","memo":"of the body"}"#;

const TRIED: &[&str] = &["r", "s"];

/// A provider's API that answers every look-up alike.
struct World {
    server: Loopback,
    reply: Arc<Mutex<Reply>>,
    apis: Vec<ApiClient>,
}

fn world(reply: Reply) -> World {
    let reply = Arc::new(Mutex::new(reply));
    let url = Arc::new(Mutex::new(String::new()));
    let (answers, own_url) = (Arc::clone(&reply), Arc::clone(&url));
    let server = Loopback::start(move |_, asked| match asked.path.split('?').next() {
        Some("/") => {
            let url = own_url.lock().unwrap().clone();
            let secret = json!({ "base_url": format!("{url}/api"), "token_url": format!("{url}/token"), "client_id": "sample", "client_secret": "sample" });
            Reply::json(200, json!({ "SecretString": secret.to_string() }).to_string())
        }
        Some("/token") => Reply::json(200, r#"{"access_token":"sample-token","expires_in":900}"#),
        _ => answers.lock().unwrap().clone(),
    });
    *url.lock().unwrap() = server.url.clone();
    let (clock, http) = (Clock::system(), Http::new().unwrap());
    let account =
        CachedSecret::new(aws::secrets_manager(&server.aws(), &http), "api".to_owned(), clock, ApiAccount::parse);
    World { server, reply, apis: vec![ApiClient::new("sample", &API, http, account, clock)] }
}

impl World {
    /// The paths that were asked for.
    fn questions(&self) -> Vec<String> {
        let asked = self.server.asked().into_iter();
        asked.filter_map(|asked| asked.path.strip_prefix("/api").map(str::to_owned)).collect()
    }
}

/// Routes `r` and `s` with these fields.
fn routes(r: &str, s: &str) -> Routes {
    let text = format!(
        r#"
        redact.sample = ["/data/secret"]
        [sample.lookups]
        payment = "/v1/accounts/{{/account}}/payments/{{/payment}}"
        odd = "/v1/x-{{/odd}}"
        up = "/v1/{{/up}}"
        absent = "/v1/{{/absent}}"
        [sample.routes.r]
        events = "*"
        workflow = "w"
        event_type = "e"
        customer = "/c"
        fields = [{r}]
        [sample.routes.s]
        events = "*"
        workflow = "w"
        event_type = "e"
        customer = "/c"
        fields = [{s}]
        "#
    );
    Routes::parse("routes.toml", &text, Known::Anything).unwrap()
}

fn event() -> EventRecord {
    let at = UnixMillis(1_738_784_271_042);
    let event_type = Some("PAID".to_owned());
    EventRecord::received("sample", "evt_1".to_owned(), event_type, at, at, BODY.to_owned()).begin(["r", "s"], at)
}

fn time() -> CallTime {
    CallTime { ends_at: Instant::now() + Duration::from_secs(5), spares_slow_systems: true }
}

fn summary(fetched: Result<Fetched, DispatchFailure>) -> Result<Vec<(String, Option<String>)>, String> {
    fetched.map(|it| it.into_iter().collect()).map_err(|failure| failure.summary())
}

fn is(field: &str, json: Option<&str>) -> Vec<(String, Option<String>)> {
    vec![(field.to_owned(), json.map(str::to_owned))]
}

#[tokio::test]
async fn what_a_required_field_cannot_have_holds_the_message_back_and_an_optional_one_goes_without() {
    let answer = |status, text: &str| Reply::json(status, text.to_owned());
    let large = format!(r#"{{"data":{{"note":"x","more":"{}"}}}}"#, "x".repeat(300_000));
    for (reply, code) in [
        (answer(404, "{}"), "lookup_not_found"),
        (answer(400, "{}"), "lookup_not_found"),
        (answer(403, "{}"), "provider_api_forbidden 403"),
        (answer(401, "{}"), "provider_api_unauthorized 401"),
        (answer(429, "{}"), "provider_api_throttled 429"),
        (answer(500, "{}"), "provider_api_error 500"),
        (answer(302, "{}"), "provider_api_error 302"),
        (Reply::HangUp, "provider_api_unreachable"),
        (Reply::BreakOff, "provider_api_unreachable"),
        (answer(200, "<html>"), "provider_api_unreadable"),
        (answer(200, ""), "provider_api_unreadable"),
        (answer(200, &large), "provider_api_unreadable"),
        (answer(200, r#"{"data":{"note":null}}"#), "lookup_incomplete lookup:payment:/data/note"),
        (answer(200, "[]"), "lookup_incomplete lookup:payment:/data/note"),
    ] {
        let (world, event) = (world(reply.clone()), event());
        let body = Document::parse(BODY.as_bytes()).unwrap();
        let both = routes(r#"{ note = "lookup:payment:/data/note" }"#, r#"{ "note?" = "lookup:payment:/data/note" }"#);
        let lookups = Lookups::new(&both, &world.apis, &event, TRIED, time());
        let [required, optional] = ["r", "s"].map(|name| both.by_name(name).unwrap());
        assert_eq!(summary(lookups.fetch(required, body.root()).await), Err(code.to_owned()), "{reply:?}");
        assert_eq!(summary(lookups.fetch(optional, body.root()).await), Ok(is("note", None)), "{reply:?}");
        // A failure is transient: the next attempt asks again. What is sent without stays so.
        let failure = lookups.fetch(required, body.root()).await.unwrap_err();
        assert!(!failure.code.is_permanent(), "{code}");
        let kept = lookups.into_fetched();
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["s"]);
    }
}

#[tokio::test]
async fn an_api_that_hangs_costs_an_optional_field_three_seconds_once_and_a_required_one_blames_nobody_when_cut_short()
{
    let world = world(Reply::Silence);
    let body = Document::parse(BODY.as_bytes()).unwrap();
    let optional = routes(r#"{ "note?" = "lookup:payment:/note" }"#, r#"{ m = "/memo" }"#);
    let event = event();
    let began = Instant::now();
    let lookups = Lookups::new(&optional, &world.apis, &event, TRIED, time());
    assert_eq!(summary(lookups.fetch(optional.by_name("r").unwrap(), body.root()).await), Ok(is("note", None)));
    let took = began.elapsed();
    assert!(took >= TIME_FOR_OPTIONAL && took < Duration::from_millis(4500), "{took:?}");
    // The API cools off: the next event does not wait for it.
    let lookups = Lookups::new(&optional, &world.apis, &event, TRIED, time());
    assert_eq!(summary(lookups.fetch(optional.by_name("r").unwrap(), body.root()).await), Ok(is("note", None)));
    assert_eq!(world.questions().len(), 1);

    // An optional field does not wait for the call that another route requires.
    let patient = CallTime { spares_slow_systems: false, ..time() };
    let both = routes(r#"{ note = "lookup:payment:/note" }"#, r#"{ "note?" = "lookup:payment:/note" }"#);
    let lookups = Lookups::new(&both, &world.apis, &event, TRIED, patient);
    let began = Instant::now();
    let of_s = async { (lookups.fetch(both.by_name("s").unwrap(), body.root()).await, began.elapsed()) };
    let (of_r, (of_s, took)) = tokio::join!(lookups.fetch(both.by_name("r").unwrap(), body.root()), of_s);
    assert_eq!((summary(of_s), summary(of_r)), (Ok(is("note", None)), Err("provider_api_timeout".to_owned())));
    assert!(took < Duration::from_millis(4500), "{took:?}");
    assert_eq!(world.questions().len(), 2);

    let required = routes(r#"{ note = "lookup:payment:/note" }"#, r#"{ m = "/memo" }"#);
    let short = CallTime { ends_at: Instant::now() + Duration::from_millis(50), spares_slow_systems: false };
    let lookups = Lookups::new(&required, &world.apis, &event, TRIED, short);
    assert_eq!(summary(lookups.fetch(required.by_name("r").unwrap(), body.root()).await), Err("no_time".to_owned()));
}

#[tokio::test]
async fn optional_fields_wait_three_seconds_together_for_an_api_that_hangs() {
    let world = world(Reply::Silence);
    let (body, event) = (Document::parse(BODY.as_bytes()).unwrap(), event());
    let two = routes(r#"{ "a?" = "lookup:payment:/a" }, { "b?" = "lookup:odd:/b" }"#, r#"{ m = "/memo" }"#);
    // As redrive has it, which tries what cools off, too.
    let lookups = Lookups::new(&two, &world.apis, &event, TRIED, CallTime { spares_slow_systems: false, ..time() });
    let began = Instant::now();
    let fetched = lookups.fetch(two.by_name("r").unwrap(), body.root()).await.unwrap();
    assert_eq!(fetched.into_values().collect::<Vec<_>>(), [None, None]);
    assert!(began.elapsed() < Duration::from_millis(4500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn optional_fields_come_last_and_leave_the_message_time_to_be_sent() {
    let world = world(Reply::Silence);
    let (body, event) = (Document::parse(BODY.as_bytes()).unwrap(), event());
    let soon = || CallTime { ends_at: Instant::now() + TIME_TO_SEND + Duration::from_millis(100), ..time() };
    let optional = routes(r#"{ "a?" = "lookup:payment:/a" }"#, r#"{ m = "/memo" }"#);
    let time = soon();
    let lookups = Lookups::new(&optional, &world.apis, &event, TRIED, time);
    assert_eq!(summary(lookups.fetch(optional.by_name("r").unwrap(), body.root()).await), Ok(is("a", None)));
    assert!(Instant::now() < time.ends_at);

    let both = routes(r#"{ "a?" = "lookup:payment:/a" }, { b = "lookup:odd:/b" }"#, r#"{ m = "/memo" }"#);
    let before = world.questions().len();
    let lookups = Lookups::new(&both, &world.apis, &event, TRIED, soon());
    lookups.fetch(both.by_name("r").unwrap(), body.root()).await.unwrap_err();
    assert_eq!(world.questions()[before..], ["/v1/x-a%2Fb%20%25%3F"]);
}

#[tokio::test]
async fn what_a_try_was_sent_without_stays_out_though_the_answer_arrives_before_the_next_try() {
    let world = world(Reply::json(200, r#"{"note":"late"}"#));
    let (body, event) = (Document::parse(BODY.as_bytes()).unwrap(), event());
    let both = routes(r#"{ note = "lookup:payment:/note" }"#, r#"{ "note?" = "lookup:payment:/note" }"#);
    let lookups = Lookups::new(&both, &world.apis, &event, TRIED, time());
    let [r, s] = ["r", "s"].map(|name| both.by_name(name).unwrap());
    // The API answers once `s` has given up.
    let holds_the_answer = Box::new(world.reply.lock().unwrap());
    let of_s = async {
        let fetched = lookups.fetch(s, body.root()).await;
        drop(holds_the_answer);
        fetched
    };
    let (of_r, of_s) = tokio::join!(lookups.fetch(r, body.root()), of_s);
    assert_eq!((summary(of_r), summary(of_s)), (Ok(is("note", Some(r#""late""#))), Ok(is("note", None))));
    assert_eq!(summary(lookups.fetch(s, body.root()).await), Ok(is("note", None)));
    assert_eq!(lookups.into_fetched()["s"]["note"], None);
}

#[tokio::test]
async fn a_look_up_is_asked_once_for_all_fields_and_routes_and_never_when_the_body_has_the_value() {
    let world = world(Reply::json(200, r#"{"data":{"note":"n","amount":10.00}}"#));
    let note = r#"{ note = "lookup:payment:/data/note" }, { amount = "lookup:payment:/data/amount" }"#;
    let both = routes(note, &format!(r#"{note}, {{ memo = ["/memo", "lookup:odd:/memo"] }}"#));
    let (body, event) = (Document::parse(BODY.as_bytes()).unwrap(), event());
    let lookups = Lookups::new(&both, &world.apis, &event, TRIED, time());
    let [r, s] = ["r", "s"].map(|name| both.by_name(name).unwrap());
    let expected: Fetched =
        [("amount", "10.00"), ("note", r#""n""#)].map(|(name, json)| (name.to_owned(), Some(json.to_owned()))).into();
    let (of_r, of_s) = tokio::join!(lookups.fetch(r, body.root()), lookups.fetch(s, body.root()));
    assert_eq!((of_r.unwrap(), of_s.unwrap()), (expected.clone(), expected.clone()));
    assert_eq!(world.questions(), ["/v1/accounts/A-1/payments/7"]);

    // What was sent without is asked for by a route that has come to require it.
    let nothing = [("note", None), ("amount", Some("10.00".to_owned()))].map(|(field, json)| (field.to_owned(), json));
    let before = EventRecord { fetched: [("r".to_owned(), nothing.into())].into(), ..event.clone() };
    let again = Lookups::new(&both, &world.apis, &before, TRIED, time());
    assert_eq!(again.fetch(r, body.root()).await.unwrap(), expected);
    assert_eq!(world.questions().len(), 2);

    // Another answer later changes nothing, and is not asked for.
    *world.reply.lock().unwrap() = Reply::json(200, r#"{"data":{"note":"other","amount":1}}"#);
    let later = EventRecord { fetched: lookups.into_fetched(), ..event };
    let lookups = Lookups::new(&both, &world.apis, &later, TRIED, time());
    assert_eq!(lookups.fetch(r, body.root()).await.unwrap(), expected);
    assert_eq!(lookups.into_fetched(), later.fetched);
    assert_eq!(world.questions().len(), 2);
}

#[tokio::test]
async fn credentials_and_what_is_redacted_are_cut_from_what_is_fetched() {
    let world = world(Reply::json(
        200,
        r#"{"data":{"secret":"MARKED","login":7,"password":"MARKED","in":{"apiKey":"MARKED","b":[1]}}}"#,
    ));
    let routes = routes(r#"{ data = "lookup:payment:/data" }"#, r#"{ m = "/memo" }"#);
    let (body, event) = (Document::parse(BODY.as_bytes()).unwrap(), event());
    let lookups = Lookups::new(&routes, &world.apis, &event, TRIED, time());
    let fetched = lookups.fetch(routes.by_name("r").unwrap(), body.root()).await;
    assert_eq!(summary(fetched), Ok(is("data", Some(r#"{"login":7,"in":{"b":[1]}}"#))));
}

#[tokio::test]
async fn values_in_a_path_are_encoded_and_one_that_would_lead_elsewhere_is_not_asked_about() {
    let world = world(Reply::json(200, r#"{"note":"n"}"#));
    let (body, event) = (Document::parse(BODY.as_bytes()).unwrap(), event());
    for (lookup, expected) in [
        ("odd", Ok(is("f", Some(r#""n""#)))),
        ("up", Err("lookup_not_found".to_owned())),
        ("absent", Err("mapping_failed lookup:absent".to_owned())),
    ] {
        let routes = routes(&format!(r#"{{ f = "lookup:{lookup}:/note" }}"#), r#"{ m = "/memo" }"#);
        let lookups = Lookups::new(&routes, &world.apis, &event, TRIED, time());
        assert_eq!(summary(lookups.fetch(routes.by_name("r").unwrap(), body.root()).await), expected, "{lookup}");
    }
    assert_eq!(world.questions(), ["/v1/x-a%2Fb%20%25%3F"]);

    let routes = routes(r#"{ f = "lookup:payment:/note" }"#, r#"{ m = "/memo" }"#);
    let lookups = Lookups::new(&routes, &[], &event, TRIED, time());
    let failure = summary(lookups.fetch(routes.by_name("r").unwrap(), body.root()).await);
    assert_eq!(failure, Err("provider_api_secret_unavailable".to_owned()), "no API is configured");
}

#[tokio::test]
async fn what_is_kept_of_one_event_has_at_most_4_kb() {
    let text = "x".repeat(MAX_FETCHED_BYTES / 2 - 3);
    let world = world(Reply::json(200, json!({ "a": text, "b": "y" }).to_string()));
    let (body, event) = (Document::parse(BODY.as_bytes()).unwrap(), event());
    let both = routes(
        r#"{ a = "lookup:payment:/a" }, { "b?" = "lookup:payment:/b" }"#,
        r#"{ a = "lookup:payment:/a" }, { b = "lookup:payment:/b" }"#,
    );
    let lookups = Lookups::new(&both, &world.apis, &event, TRIED, time());
    let fetched = lookups.fetch(both.by_name("r").unwrap(), body.root()).await.unwrap();
    assert_eq!((fetched["a"].is_some(), &fetched["b"]), (true, &None), "it is sent without what there is no room for");
    let fetched = summary(lookups.fetch(both.by_name("s").unwrap(), body.root()).await);
    assert_eq!(fetched, Err("mapping_failed lookup:payment:/b".to_owned()));
}
