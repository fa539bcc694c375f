use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::join;
use serde_json::{Value as Json, json};

use super::*;
use crate::customer::api_client::ApiAccount;
use crate::customer::provider_api::ProviderApi;
use crate::outside::aws;
use crate::outside::http::Http;
use crate::outside::secrets::CachedSecret;
use crate::testing::{Asked, Loopback, Reply};
use json::Document;
use route::routes::{Known, Routes};

const API: ProviderApi = ProviderApi {
    secret_variable: "SAMPLE_API_SECRET_ID",
    scope: "",
    lookups: &[Lookup { kind: "sample-account", path: "/v1/accounts/", answer: "/data/customer_id" }],
};

/// The customers table and the provider's API.
#[derive(Default)]
struct Outside {
    /// Items by their `ref`, in DynamoDB's JSON.
    items: HashMap<String, Json>,
    table_fails: bool,
    /// Customer by account.
    accounts: HashMap<&'static str, &'static str>,
    api_status: Option<u16>,
}

impl Outside {
    fn answer(&mut self, url: &str, asked: &Asked) -> Reply {
        if asked.path.starts_with("/token") {
            return Reply::json(200, r#"{"access_token":"sample","expires_in":900}"#);
        }
        if let Some(account) = asked.path.strip_prefix("/v1/accounts/") {
            return match (self.api_status, self.accounts.get(account)) {
                (Some(status), _) => Reply::json(status, "{}"),
                (None, Some(id)) => Reply::json(200, json!({ "data": { "customer_id": id } }).to_string()),
                (None, None) => Reply::json(404, "{}"),
            };
        }
        match asked.header("x-amz-target") {
            Some("secretsmanager.GetSecretValue") => {
                let secret = json!({
                    "base_url": url, "token_url": format!("{url}/token"), "client_id": "c", "client_secret": "s",
                });
                Reply::json(200, json!({ "SecretString": secret.to_string() }).to_string())
            }
            _ if self.table_fails => Reply::json(400, r#"{"__type":"ResourceNotFoundException"}"#),
            Some("DynamoDB_20120810.GetItem") => {
                let key = asked.json()["Key"]["ref"]["S"].as_str().unwrap().to_owned();
                let item = self.items.get(&key).map_or(json!({}), |item| json!({ "Item": item }));
                Reply::json(200, item.to_string())
            }
            Some("DynamoDB_20120810.PutItem") => {
                let item = asked.json()["Item"].clone();
                self.items.entry(item["ref"]["S"].as_str().unwrap().to_owned()).or_insert(item);
                Reply::json(200, "{}")
            }
            other => panic!("{other:?}"),
        }
    }
}

struct World {
    server: Loopback,
    outside: Arc<Mutex<Outside>>,
    resolver: Resolver,
}

fn world() -> World {
    let outside = Arc::new(Mutex::new(Outside::default()));
    let url = Arc::new(Mutex::new(String::new()));
    let (answers, own_url) = (Arc::clone(&outside), Arc::clone(&url));
    let server = Loopback::start(move |_, asked| {
        let url = own_url.lock().unwrap().clone();
        answers.lock().unwrap().answer(&url, asked)
    });
    *url.lock().unwrap() = server.url.clone();
    let clock = Clock::system();
    let http = Http::new().unwrap();
    let secrets = aws::secrets_manager(&server.aws(), &http);
    let account = CachedSecret::new(secrets, "api".to_owned(), clock, ApiAccount::parse);
    let resolver = Resolver {
        clock,
        customers: Some(Customers::new(aws::dynamodb(&server.aws(), &http), "customers".to_owned())),
        apis: vec![ApiClient::new("sample", &API, http, account, clock)],
    };
    World { server, outside, resolver }
}

fn routes(customer: &str, more: &str) -> Routes {
    let text = format!(
        "[[route]]\nname = \"r\"\nprovider = \"sample\"\nworkflow = \"w\"\nevent_type = \"e\"\nevents = [\"*\"]\n\
         customer = {customer}\n{more}\n"
    );
    Routes::parse("routes.toml", &text, Known::Anything).unwrap()
}

async fn resolved(
    resolver: &Resolver,
    customer: &str,
    more: &str,
    body: &str,
) -> Result<MessageCustomer, DispatchFailure> {
    let routes = routes(customer, more);
    let document = Document::parse(body.as_bytes()).unwrap();
    resolver.resolve(&routes.all()[0], document.root(), CallTime::of_a_person()).await
}

impl World {
    fn set(&self, change: impl FnOnce(&mut Outside)) {
        change(&mut self.outside.lock().unwrap());
    }

    fn link(&self, reference: &str, customer_id: &str, more: &Json) {
        let mut item =
            json!({ "ref": { "S": reference }, "customer_id": { "S": customer_id }, "updated_at": { "N": "1" } });
        for (name, value) in more.as_object().unwrap() {
            item[name] = value.clone();
        }
        self.set(|outside| {
            outside.items.insert(reference.to_owned(), item);
        });
    }

    async fn customer(&self, customer: &str, body: &str) -> Result<String, String> {
        let found = resolved(&self.resolver, customer, "", body).await;
        found.map(|found| found.customer_id).map_err(|failure| failure.summary())
    }

    /// The accounts that the API was asked about.
    fn asked_about(&self) -> Vec<String> {
        let asked = self.server.asked();
        asked.iter().filter_map(|asked| asked.path.strip_prefix("/v1/accounts/").map(str::to_owned)).collect()
    }
}

mod from_the_body {
    use super::*;

    /// Without any outside system.
    #[track_caller]
    fn check(body: &str, expected: Result<&str, &'static str>) {
        let nobody = Resolver { clock: Clock::system(), customers: None, apis: Vec::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(resolved(&nobody, r#"["/customer_id", "/account/0"]"#, "", body));
        let found = found.map(|found| found.customer_id).map_err(|failure| failure.code.code());
        assert_eq!(found.as_deref().map_err(|code| *code), expected, "{body}");
    }

    #[test]
    fn the_first_pointer_that_finds_one_counts() {
        check(r#"{"customer_id":"C-1001","account":["C-2002"]}"#, Ok("C-1001"));
        check(r#"{"account":["C-2002"]}"#, Ok("C-2002"));
        for nobody in ["null", r#""""#, "{}", "[]", "true", r#""\ud83d""#] {
            check(&format!(r#"{{"customer_id":{nobody},"account":["C-2002"]}}"#), Ok("C-2002"));
        }
        let endless = "x".repeat(MAX_ID_BYTES + 1);
        check(&format!(r#"{{"customer_id":"{endless}","account":["C-2002"]}}"#), Ok("C-2002"));
    }

    #[test]
    fn an_id_is_a_text_and_a_number_keeps_its_digits() {
        check(r#"{"customer_id":1001}"#, Ok("1001"));
        check(r#"{"customer_id":12345678901234567890}"#, Ok("12345678901234567890"));
        check(r#"{"customer_id":1.0}"#, Ok("1.0"));
        check(r#"{"customer_id":"\u0043-1"}"#, Ok("C-1"));
    }

    #[test]
    fn a_customer_whom_nobody_names_is_unknown_and_may_be_known_later() {
        for body in ["{}", r#"{"customer_id":null,"account":[]}"#, "[]"] {
            check(body, Err("customer_unknown"));
        }
    }
}

#[tokio::test]
async fn a_link_says_whose_customer_an_id_is() {
    let world = world();
    let source = r#""link:sample-user:/user""#;
    assert_eq!(world.customer(source, r#"{"user":"u1"}"#).await, Err("customer_unknown".to_owned()));
    world.link("sample-user:u1", "C-1001", &json!({}));
    assert_eq!(world.customer(source, r#"{"user":"u1"}"#).await, Ok("C-1001".to_owned()));
    assert_eq!(world.customer(source, r#"{"user":"u2"}"#).await, Err("customer_unknown".to_owned()));
    assert_eq!(world.customer(source, r#"{"user":"line\nbreak"}"#).await, Err("customer_unknown".to_owned()));
}

#[tokio::test]
async fn what_the_api_said_is_remembered() {
    let world = world();
    world.set(|outside| _ = outside.accounts.insert("A-1", "C-1001"));
    let source = r#""sample-account:/account""#;
    for _ in 0..3 {
        assert_eq!(world.customer(source, r#"{"account":"A-1"}"#).await, Ok("C-1001".to_owned()));
    }
    assert_eq!(world.asked_about(), ["A-1"]);
    let remembered = world.outside.lock().unwrap().items["sample-account:A-1"].clone();
    assert_eq!(remembered["customer_id"], json!({ "S": "C-1001" }));
}

#[tokio::test]
async fn what_was_imported_wins_over_what_the_api_would_say() {
    let world = world();
    world.set(|outside| _ = outside.accounts.insert("A-1", "C-api"));
    world.link("sample-account:A-1", "C-imported", &json!({}));
    assert_eq!(
        world.customer(r#""sample-account:/account""#, r#"{"account":"A-1"}"#).await,
        Ok("C-imported".to_owned())
    );
    assert_eq!(world.asked_about(), [""; 0]);
}

#[tokio::test]
async fn a_source_that_does_not_know_the_customer_passes_on_to_the_next() {
    let world = world();
    world.link("sample-user:A-1", "C-1001", &json!({}));
    let sources = r#"["/customer_id", "sample-account:/account", "link:sample-user:/account", "/account"]"#;
    assert_eq!(world.customer(sources, r#"{"account":"A-1"}"#).await, Ok("C-1001".to_owned()));
    assert_eq!(world.customer(sources, r#"{"account":"A-2"}"#).await, Ok("A-2".to_owned()));
    assert_eq!(world.asked_about(), ["A-1", "A-2"]);
}

#[tokio::test]
async fn a_source_that_cannot_be_asked_ends_the_search() {
    let world = world();
    let sources = r#"["sample-account:/account", "/account"]"#;
    for (status, expected) in [
        (500, "provider_api_error 500"),
        (429, "provider_api_throttled 429"),
        (403, "provider_api_forbidden 403"),
        (401, "provider_api_unauthorized 401"),
    ] {
        world.set(|outside| outside.api_status = Some(status));
        assert_eq!(world.customer(sources, r#"{"account":"A-1"}"#).await, Err(expected.to_owned()));
    }
    world.set(|outside| outside.table_fails = true);
    let unavailable = Err("customers_unavailable".to_owned());
    assert_eq!(world.customer(sources, r#"{"account":"A-1"}"#).await, unavailable);
    assert_eq!(world.customer(r#"["link:k:/account", "/account"]"#, r#"{"account":"A-1"}"#).await, unavailable);
}

#[tokio::test]
async fn without_a_table_or_an_api_the_body_is_what_there_is() {
    let World { resolver, server, outside: _ } = world();
    let resolver = Resolver { customers: None, apis: Vec::new(), ..resolver };
    let sources = r#"["sample-account:/account", "link:k:/account", "/account"]"#;
    let found = resolved(
        &resolver,
        sources,
        r#"fields = { a = { customer = "email", optional = true } }"#,
        r#"{"account":"A-1"}"#,
    );
    assert_eq!(found.await, Ok(MessageCustomer::of("A-1".to_owned())));
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn two_who_ask_the_same_at_once_ask_the_api_once() {
    let world = world();
    world.set(|outside| _ = outside.accounts.insert("A-1", "C-1001"));
    let ask = || world.customer(r#""sample-account:/account""#, r#"{"account":"A-1"}"#);
    let expected = Ok("C-1001".to_owned());
    assert_eq!(join(ask(), ask()).await, (expected.clone(), expected));
    assert_eq!(world.asked_about(), ["A-1"]);
}

#[tokio::test]
async fn the_customer_s_own_record_is_read_only_for_what_a_route_asks() {
    let world = world();
    let fields = r#"fields = { mail = { customer = "email" }, logins = { customer = "trading_accounts" } }"#;
    world.link("sample-user:u1", "C-1001", &json!({ "email": { "S": "link@example.com" } }));
    let logins = json!({ "L": [{ "S": "5001" }] });
    world.link(
        "customer:C-1001",
        "C-1001",
        &json!({ "email": { "S": "own@example.com" }, "trading_accounts": logins }),
    );

    let found = resolved(&world.resolver, r#""/id""#, "", r#"{"id":"C-1001"}"#).await.unwrap();
    assert_eq!((found.record, world.server.asked().len()), (None, 0), "nothing is asked");

    let of = |found: MessageCustomer| {
        let record = found.record.unwrap();
        (record.email.unwrap(), record.trading_accounts)
    };
    let found = resolved(&world.resolver, r#""/id""#, fields, r#"{"id":"C-1001"}"#).await.unwrap();
    assert_eq!(of(found), ("own@example.com".to_owned(), vec!["5001".to_owned()]));
    let found = resolved(&world.resolver, r#""link:sample-user:/u""#, fields, r#"{"u":"u1"}"#).await.unwrap();
    assert_eq!(of(found), ("link@example.com".to_owned(), vec!["5001".to_owned()]), "the link's own facts come first");
}
