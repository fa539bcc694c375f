use super::*;
use crate::http_client::{HttpClient, SendError};
use crate::testing::{BOUND, MOMENT, within};

const BOTH: &str = "accounts:read%20applications:read";

struct World {
    api: RailApi,
    client: HttpClient,
}

impl World {
    fn start() -> Self {
        Self { api: RailApi::start().unwrap(), client: HttpClient::default() }
    }

    /// The status, and the body where it is JSON.
    async fn send(&self, method: Method, url: &str, authorization: &str) -> Result<(u16, Value), SendError> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().unwrap();
        if !authorization.is_empty() {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        let response = within(self.client.send(request)).await?;
        Ok((response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default()))
    }

    async fn ask_token(&self, query: &str, client_secret: &str) -> (u16, Value) {
        let basic = format!("Basic {}", STANDARD.encode(format!("{SAMPLE_CLIENT_ID}:{client_secret}")));
        self.send(Method::POST, &format!("{}?{query}", self.api.token_url()), &basic).await.unwrap()
    }

    async fn token(&self, scopes: &str) -> String {
        let query = format!("grant_type=client_credentials&scope={scopes}");
        let (status, answer) = self.ask_token(&query, SAMPLE_CLIENT_SECRET).await;
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.api.base_url());
        self.send(Method::GET, &url, &format!("Bearer {token}")).await.unwrap()
    }

    async fn account(&self, token: &str) -> u16 {
        self.get("/v1/accounts/deposits/CUSTOMER_USD_001", token).await.0
    }
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_token_opens_accounts_and_applications() {
    let world = World::start();
    let query = format!("grant_type=client_credentials&scope={BOTH}");
    let (status, mut answer) = world.ask_token(&query, SAMPLE_CLIENT_SECRET).await;
    let token = answer["access_token"].take();
    let expected = json!({
        "token_type": "Bearer", "expires_in": 900, "access_token": null, "scope": "accounts:read applications:read",
    });
    assert_eq!((status, answer), (200, expected));

    let token = token.as_str().unwrap();
    let (status, answer) = world.get("/v1/accounts/deposits/CUSTOMER_USD_001", token).await;
    assert_eq!((status, &answer["data"]["id"]), (200, &json!("CUSTOMER_USD_001")));
    assert_eq!(answer["data"]["customer_id"], "C-1001");
    let (status, answer) = world.get("/v1/applications/2f1c7f0e-6f0b-4a52-9d0c-3c1f5b7a9e10", token).await;
    assert_eq!((status, &answer["data"]["customer_id"]), (200, &json!("C-1008")));
    assert_eq!(answer["data"]["status"], "APPROVED");

    let called: Vec<_> = world.api.calls().into_iter().map(|call| (call.at, call.of)).collect();
    assert_eq!(
        called,
        [
            (At::Token, "accounts:read applications:read".to_owned()),
            (At::Account, "CUSTOMER_USD_001".to_owned()),
            (At::Application, "2f1c7f0e-6f0b-4a52-9d0c-3c1f5b7a9e10".to_owned()),
        ]
    );
    assert_eq!(world.api.violations(), []);
}

#[tokio::test]
async fn an_id_that_nobody_knows_is_404_until_it_is_there() {
    let world = World::start();
    let token = world.token(BOTH).await;
    for path in ["/v1/accounts/deposits/new%2F%C3%BC", "/v1/applications/new"] {
        let (status, answer) = world.get(path, &token).await;
        assert_eq!((status, code(&answer)), (404, "NOT_FOUND"), "{path}");
    }
    world.api.put_account("new/ü", "C-1");
    world.api.put_application("new", "C-2");
    let (_, account) = world.get("/v1/accounts/deposits/new%2F%C3%BC", &token).await;
    let (_, application) = world.get("/v1/applications/new", &token).await;
    assert_eq!((&account["data"]["customer_id"], &application["data"]["customer_id"]), (&json!("C-1"), &json!("C-2")));
    world.api.remove_account("new/ü");
    world.api.remove_application("new");
    assert_eq!(world.get("/v1/accounts/deposits/new%2F%C3%BC", &token).await.0, 404);
    assert_eq!(world.get("/v1/applications/new", &token).await.0, 404);
}

#[tokio::test]
async fn a_token_that_is_missing_unknown_expired_or_revoked_is_401() {
    let world = World::start();
    let url = format!("{}/v1/accounts/deposits/CUSTOMER_USD_001", world.api.base_url());
    for authorization in ["", "Basic eDp5", "Bearer unknown", "Bearer"] {
        let (status, answer) = world.send(Method::GET, &url, authorization).await.unwrap();
        assert_eq!((status, code(&answer)), (401, "UNAUTHORIZED"), "{authorization}");
    }
    assert_eq!(world.api.violations(), [Rule::NoBearer, Rule::NoBearer, Rule::NoBearer]);

    let live = world.token(BOTH).await;
    world.api.set_token_lifetime(0);
    assert_eq!(world.account(&world.token(BOTH).await).await, 401);
    assert_eq!(world.account(&live).await, 200);
    world.api.revoke_tokens();
    assert_eq!(world.account(&live).await, 401);
}

#[tokio::test]
async fn a_token_opens_only_what_its_scopes_name() {
    let world = World::start();
    let token = world.token("applications:read").await;
    let (status, answer) = world.get("/v1/accounts/deposits/CUSTOMER_USD_001", &token).await;
    assert_eq!((status, code(&answer)), (403, "FORBIDDEN"));
    assert_eq!(world.get("/v1/applications/8a4d2c36-1b7e-4f95-a3c8-6e0d9b5f2471", &token).await.0, 200);
    assert_eq!(world.api.violations(), [Rule::ScopeMissing]);
}

#[tokio::test]
async fn a_token_is_given_to_the_client_alone_and_for_its_scopes() {
    let world = World::start();
    let grant = "grant_type=client_credentials&scope=accounts:read";
    for (query, secret, status, error, rule) in [
        (grant, "wrong", 401, "invalid_client", Rule::ClientUnknown),
        (
            "scope=accounts:read",
            SAMPLE_CLIENT_SECRET,
            400,
            "unsupported_grant_type",
            Rule::GrantTypeIsNotClientCredentials,
        ),
        ("grant_type=client_credentials", SAMPLE_CLIENT_SECRET, 400, "invalid_scope", Rule::Scope),
        ("grant_type=client_credentials&scope=all", SAMPLE_CLIENT_SECRET, 400, "invalid_scope", Rule::Scope),
    ] {
        world.api.reset_records();
        let answer = world.ask_token(query, secret).await;
        assert_eq!((answer.0, answer.1["error"].as_str()), (status, Some(error)), "{query}");
        assert_eq!(world.api.violations(), [rule], "{query}");
    }
    assert_eq!(
        world
            .ask_token("grant_type=client_credentials&scope=accounts%3Aread+applications%3Aread", SAMPLE_CLIENT_SECRET)
            .await
            .0,
        200
    );
    world.api.set_scopes(&[APPLICATIONS_READ]);
    assert_eq!(world.ask_token(grant, SAMPLE_CLIENT_SECRET).await.0, 400);
    world.api.set_scopes(&[ACCOUNTS_READ]);
    world.api.set_client_secret("rotated");
    assert_eq!(world.ask_token(grant, SAMPLE_CLIENT_SECRET).await.0, 401);
    assert_eq!(world.ask_token(grant, "rotated").await.0, 200);
    assert_eq!(world.api.secret()["client_secret"], "rotated");
}

#[tokio::test]
async fn what_is_no_call_of_its_own_is_told_apart() {
    let world = World::start();
    let token = world.token(BOTH).await;
    for path in ["/v1/accounts", "/v1/accounts/deposits/", "/v1/accounts/deposits/a/b", "/v2/applications/1", ""] {
        assert_eq!(world.get(path, &token).await.0, 404, "{path}");
    }
    let without_prefix = format!("{}/v1/applications/1", world.api.url());
    assert_eq!(world.send(Method::GET, &without_prefix, "").await.unwrap().0, 404);
    assert_eq!(world.api.violations(), [Rule::UnknownUrl; 6]);
    world.api.reset_records();
    let account = format!("{}/v1/accounts/deposits/CUSTOMER_USD_001", world.api.base_url());
    assert_eq!(world.send(Method::POST, &account, "").await.unwrap().0, 405);
    assert_eq!(world.send(Method::GET, &world.api.token_url(), "").await.unwrap().0, 405);
    assert_eq!(world.api.violations(), [Rule::WrongMethod; 2]);
}

#[tokio::test]
async fn each_call_fails_by_its_own_script() {
    let world = World::start();
    let token = world.token(BOTH).await;
    world.api.inject(Some(At::Account), Fault::Status(500), When::Next(1));
    assert_eq!(world.get("/v1/applications/8a4d2c36-1b7e-4f95-a3c8-6e0d9b5f2471", &token).await.0, 200);
    assert_eq!(world.account(&token).await, 500);
    assert_eq!(world.account(&token).await, 200);
    let struck: Vec<_> = world.api.calls().into_iter().filter_map(|call| Some((call.at, call.fault?))).collect();
    assert_eq!(struck, [(At::Account, Fault::Status(500))]);
    assert_eq!([At::Token, At::Account, At::Application].map(|at| world.api.count(at)), [1, 2, 1]);

    world.api.inject(Some(At::Token), Fault::Status(503), When::Next(1));
    let grant = "grant_type=client_credentials&scope=accounts:read";
    assert_eq!(world.ask_token(grant, SAMPLE_CLIENT_SECRET).await.0, 503);

    world.api.inject(Some(At::Account), Fault::RevokeTokens, When::Next(1));
    assert_eq!(world.account(&token).await, 401);
    assert_eq!(world.account(&token).await, 401);
    assert_eq!(world.account(&world.token(BOTH).await).await, 200);
}

#[tokio::test]
async fn a_fault_that_says_when_to_come_back_says_it_in_a_header() {
    let world = World::start();
    world.api.inject(None, Fault::RetryAfter { status: 429, after: "7".to_owned() }, When::Next(1));
    let request = Request::get(format!("{}/v1/applications/1", world.api.base_url())).body(Bytes::new()).unwrap();
    let response = within(world.client.send(request)).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &HeaderValue::from_static("7")));
}

#[tokio::test]
async fn an_answer_can_be_late_broken_or_none() {
    let world = World::start();
    let token = world.token(BOTH).await;
    let url = format!("{}/v1/accounts/deposits/CUSTOMER_USD_001", world.api.base_url());
    let bearer = format!("Bearer {token}");
    for fault in [Fault::Slow(MOMENT), Fault::SlowBody(MOMENT)] {
        world.api.inject(None, fault, When::Next(1));
        let began = Instant::now();
        let (status, answer) = world.send(Method::GET, &url, &bearer).await.unwrap();
        assert!(began.elapsed() >= MOMENT);
        assert_eq!((status, &answer["data"]["customer_id"]), (200, &json!("C-1001")));
    }
    for fault in [Fault::GarbageBody, Fault::WrongContentType] {
        world.api.inject(None, fault, When::Next(1));
        assert_eq!(world.send(Method::GET, &url, &bearer).await.unwrap(), (200, Value::Null));
    }
    for fault in [Fault::Reset, Fault::Garbage] {
        world.api.inject(None, fault.clone(), When::Next(1));
        let failed = world.send(Method::GET, &url, &bearer).await.err();
        assert!(matches!(failed, Some(SendError::NoResponse(_))), "{fault:?} {failed:?}");
    }
    world.api.inject(None, Fault::Hang, When::Next(1));
    let asked = world.send(Method::GET, &url, &bearer);
    assert!(tokio::time::timeout(MOMENT, asked).await.is_err());
    world.api.wait_for_calls(|calls| calls.len() == 8, BOUND).await.unwrap();
}

#[tokio::test]
async fn the_secret_has_what_the_functions_need() {
    let api = RailApi::start().unwrap();
    let expected = json!({
        "base_url": format!("{}/api", api.url()),
        "token_url": format!("{}/oauth2/sample/v1/token", api.url()),
        "client_id": "rail_sample_client_do_not_use",
        "client_secret": "rail_sample_client_secret_do_not_use",
    });
    assert_eq!(api.secret(), expected);
}

mod subscriptions {
    use super::*;

    const URL: &str = "https://example.com/webhooks/rail";

    impl World {
        async fn call(&self, method: Method, path: &str, token: &str, body: Value, idempotency: &str) -> (u16, Value) {
            let mut request = Request::new(Bytes::from(body.to_string()));
            *request.method_mut() = method;
            *request.uri_mut() = format!("{}{path}", self.api.base_url()).parse().unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            if !idempotency.is_empty() {
                request.headers_mut().insert("x-l2f-idempotency-id", idempotency.parse().unwrap());
            }
            let response = within(self.client.send(request)).await.unwrap();
            (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default())
        }

        async fn create(&self, token: &str, event_type: &str, url: &str, idempotency: &str) -> (u16, Value) {
            let body = json!({ "event_type": event_type, "callback_url": url });
            self.call(Method::POST, "/v1/subscriptions", token, body, idempotency).await
        }

        async fn delete(&self, token: &str, id: &str) -> u16 {
            self.call(Method::DELETE, &format!("/v1/subscriptions/{id}"), token, Value::Null, "").await.0
        }
    }

    #[tokio::test]
    async fn an_answer_is_saved_for_ever_even_when_its_subscription_is_deleted() {
        let world = World::start();
        let token = world.token("subscriptions:read%20subscriptions:write").await;
        let (status, first) = world.create(&token, "ACCOUNT_OPEN", URL, "id-1").await;
        assert_eq!((status, &first["data"]["event_type"]), (200, &json!("ACCOUNT_OPEN")));
        let id = first["data"]["id"].as_str().unwrap();
        assert_eq!(world.create(&token, "ACCOUNT_OPEN", URL, "id-1").await, (200, first.clone()));
        assert_eq!(world.api.subscriptions().len(), 1);
        assert_eq!(world.delete(&token, id).await, 200);
        assert_eq!(world.delete(&token, id).await, 404);
        assert_eq!(world.create(&token, "ACCOUNT_OPEN", URL, "id-1").await, (200, first.clone()));
        assert_eq!(world.api.subscriptions(), []);
        let (_, second) = world.create(&token, "ACCOUNT_OPEN", URL, "id-2").await;
        assert_ne!(second["data"]["signature_verification_key"], first["data"]["signature_verification_key"]);
    }

    #[tokio::test]
    async fn the_list_comes_in_pages_that_are_linked() {
        let world = World::start();
        world.api.set_page_size(2);
        let token = world.token("subscriptions:read").await;
        for n in 0..5 {
            world.api.add_subscription(&format!("ACCOUNT_{n}"), URL);
        }
        let (mut path, mut types) = ("/v1/subscriptions".to_owned(), Vec::new());
        loop {
            let (status, page) = world.get(&path, &token).await;
            assert_eq!(status, 200);
            let page_types = page["data"]["subscriptions"].as_array().unwrap().iter();
            types.extend(page_types.map(|it| it["event_type"].as_str().unwrap().to_owned()));
            let Some(next) = page["links"]["next"].as_str() else { break };
            next.strip_prefix(API_PREFIX).unwrap().clone_into(&mut path);
        }
        assert_eq!(types, ["ACCOUNT_0", "ACCOUNT_1", "ACCOUNT_2", "ACCOUNT_3", "ACCOUNT_4"]);
        assert_eq!(world.api.count(At::ListSubscriptions), 3);
    }

    #[tokio::test]
    async fn what_rail_does_not_take_is_refused_and_not_saved() {
        let world = World::start();
        let both = world.token("subscriptions:read%20subscriptions:write").await;
        let read = world.token("subscriptions:read").await;
        world.api.refuse_event_type("DEPOSIT_COMPLETED");
        world.api.add_subscription("ACCOUNT_OPEN", URL);
        world.api.refuse_duplicate_subscriptions(true);
        for (token, event_type, url, expected) in [
            (&both, "DEPOSIT_COMPLETED", URL, (400, "INVALID_EVENT_TYPE")),
            (&both, "NOTHING_KNOWN", URL, (400, "INVALID_EVENT_TYPE")),
            (&both, "ACCOUNT_CLOSED", "http://example.com/", (400, "INVALID_CALLBACK_URL")),
            (&both, "ACCOUNT_OPEN", URL, (400, "DUPLICATE_SUBSCRIPTION")),
            (&read, "ACCOUNT_CLOSED", URL, (403, "FORBIDDEN")),
        ] {
            let (status, answer) = world.create(token, event_type, url, "id").await;
            assert_eq!((status, code(&answer)), expected, "{event_type}");
        }
        assert_eq!(world.create(&both, "ACCOUNT_CLOSED", URL, "id").await.0, 200);
        assert_eq!(world.delete(&read, &world.api.subscriptions()[0].id).await, 403);
    }

    #[tokio::test]
    async fn keys_are_in_the_list_only_if_it_shows_them() {
        let world = World::start();
        let token = world.token("subscriptions:read").await;
        let added = world.api.add_subscription("ACCOUNT_OPEN", URL);
        for (shown, expected) in [(true, json!(added.key)), (false, Value::Null)] {
            world.api.show_keys_in_list(shown);
            let (_, list) = world.get("/v1/subscriptions", &token).await;
            assert_eq!(list["data"]["subscriptions"][0]["signature_verification_key"], expected);
        }
        let (status, one) = world.get(&format!("/v1/subscriptions/{}", added.id), &token).await;
        assert_eq!((status, &one["data"]["event_type"]), (200, &json!("ACCOUNT_OPEN")));
    }

    #[tokio::test]
    async fn a_call_may_take_effect_without_an_answer() {
        let world = World::start();
        let token = world.token("subscriptions:write").await;
        world.api.inject(Some(At::CreateSubscription), Fault::HangAfter, When::Next(1));
        let call = world.create(&token, "ACCOUNT_OPEN", URL, "");
        tokio::time::timeout(MOMENT, call).await.unwrap_err();
        assert_eq!(world.api.subscriptions().len(), 1);
    }
}
