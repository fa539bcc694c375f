//! The world of a test, deliveries that are signed here and not by the workspace's own code, and waiting with a bound.

use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use json::Document;
use local::binaries::{Profile, build_functions};
use local::dynamodb::{CUSTOMERS_TABLE, EVENTS_TABLE};
use local::gateway::events::{HttpRequest, http_api_event, http_response};
use local::http_client::HttpClient;
use local::lambda_host::{FunctionSpec, LambdaHost};
pub(crate) use local::stack::RECEIVERS;
use local::stack::{Stack, StackOptions, sample_key};
use route::destination::Destination;
use route::routes::{CustomerSource, Fit, Route, Routes};
use serde_json::Value;
use sha2::Sha256;
use shared::clock::Clock;
use shared::config::AwsConfig;
use shared::customer::reference::{Customer, CustomerRef};
use shared::customer::table::Customers;
use shared::deliver::resolver::id_at;
use shared::outside::http::Http;
use shared::receive::provider::{HeaderPart, Provider};
use shared::record::store::EventStore;

use crate::bridge::examples::{expectations, folder};

/// Whatever is waited for takes milliseconds; this long only on a machine that hardly runs.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Every answer of ours leaves within this, whatever hangs.
pub(crate) const ANSWER_BOUND: Duration = Duration::from_secs(4);

pub(crate) const RAIL: &str = "rail";
pub(crate) const RILLIS: &str = "rillis";

/// The answers of DESIGN: status and body.
pub(crate) const ACCEPTED: (u16, &str) = (200, r#"{"status":"accepted"}"#);
pub(crate) const DUPLICATE: (u16, &str) = (200, r#"{"status":"duplicate"}"#);
pub(crate) const IGNORED: (u16, &str) = (200, r#"{"status":"ignored"}"#);
pub(crate) const UNAUTHORIZED: (u16, &str) = (401, r#"{"error":"unauthorized"}"#);
pub(crate) const BAD_REQUEST: (u16, &str) = (400, r#"{"error":"bad_request"}"#);
pub(crate) const TOO_LARGE: (u16, &str) = (413, r#"{"error":"too_large"}"#);
pub(crate) const UNAVAILABLE: (u16, &str) = (503, r#"{"error":"unavailable"}"#);

/// A running bridge.
pub(crate) struct Bridge {
    pub(crate) stack: Stack,
    client: HttpClient,
    /// How many lines about deliveries the functions write if none of them is killed.
    answered: AtomicUsize,
}

/// What the provider was told.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) headers: http::HeaderMap,
    /// From the first byte sent to the last one read.
    pub(crate) took: Duration,
}

/// One signed HTTP request of a provider, or what a test has made of it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) provider: &'static str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Bridge {
    /// With the repository's routes, Lambda's behaviour, and every workflow that the routes name.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut StackOptions)) -> Self {
        let mut options = StackOptions::new(functions());
        let routes = providers::routes();
        options.workflows = routes.workflows();
        options.incoming_webhooks = routes.incoming_webhooks();
        change(&mut options);
        Self {
            stack: Stack::start(options).await.unwrap(),
            client: HttpClient::default(),
            answered: AtomicUsize::new(0),
        }
    }

    /// Signs `body` with the sample key and the time now, and posts it.
    pub(crate) async fn post(&self, provider: &'static str, body: impl Into<Bytes>) -> Answer {
        self.send(&Delivery::signed(provider, body)).await
    }

    pub(crate) async fn send(&self, delivery: &Delivery) -> Answer {
        let url = self.stack.webhook_url(providers::by_name(delivery.provider).unwrap());
        let began = Instant::now();
        let response = within(self.client.post(&url, &delivery.headers, delivery.body.clone())).await.unwrap();
        let took = began.elapsed();
        self.answered.fetch_add(1, Ordering::SeqCst);
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        Answer { status: response.status().as_u16(), body, headers: response.headers().clone(), took }
    }

    /// A request that no provider would send, and that no function need see.
    pub(crate) async fn request(&self, method: &str, path: &str) -> Answer {
        let request = http::Request::builder().method(method).uri(format!("{}{path}", self.stack.url()));
        let began = Instant::now();
        let response = within(self.client.send(request.body(Bytes::new()).unwrap())).await.unwrap();
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        Answer { status: response.status().as_u16(), body, headers: response.headers().clone(), took: began.elapsed() }
    }

    /// Gives the provider's function an event past the gateway; status and body of its answer.
    #[track_caller]
    pub(crate) fn invoke(&self, provider: &str, event: &Value) -> impl Future<Output = (u16, String)> {
        let function = self.function(provider);
        let event = event.to_string();
        async move {
            let invoked = within(function.invoke(event.clone().into())).await;
            let invoked = invoked.unwrap_or_else(|error| panic!("{error}: {event}"));
            self.answered.fetch_add(1, Ordering::SeqCst);
            let response = http_response(&invoked.response).unwrap();
            (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
        }
    }

    /// The host of a provider's function.
    #[track_caller]
    pub(crate) fn function(&self, provider: &str) -> &LambdaHost {
        self.stack.function(provider).unwrap()
    }

    /// Has `function` work on the delivery past the gateway: a host that is not the stack's. `None` if it died first.
    pub(crate) async fn deliver_to(&self, function: &LambdaHost, delivery: &Delivery) -> Option<(u16, String)> {
        let path = format!("/webhooks/{}", delivery.provider);
        let event = http_api_event(&HttpRequest::post(&path, delivery.headers.clone(), delivery.body.clone()));
        let invoked = within(function.invoke(event.to_string().into())).await.ok()?;
        let response = http_response(&invoked.response).unwrap();
        Some((response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap()))
    }

    /// The function `name` once more, with `change`.
    pub(crate) fn another(&self, name: &str, change: impl FnOnce(&mut FunctionSpec)) -> LambdaHost {
        let mut spec = self.stack.function_spec(name);
        change(&mut spec);
        LambdaHost::start(spec).unwrap()
    }

    /// The doors to both tables, as an operator opens them.
    pub(crate) fn tables(&self) -> (Customers, EventStore) {
        let config = AwsConfig {
            region: "us-east-1".to_owned(),
            credentials: Credentials::new("local", "local", None, None, "test"),
            dynamodb_url: Some(self.stack.dynamodb.url()),
            secrets_manager_url: None,
        };
        let client = shared::outside::aws::dynamodb(&config, &Http::new().unwrap());
        (Customers::new(client.clone(), CUSTOMERS_TABLE.to_owned()), EventStore::new(client, EVENTS_TABLE.to_owned()))
    }

    /// Says whose customer this is.
    pub(crate) async fn link(&self, reference: &str, customer_id: &str) {
        let customer = Customer::new(customer_id, Clock::system().now());
        self.tables().0.put(&CustomerRef::parse(reference).unwrap(), &customer).await.unwrap();
    }

    /// What `events/customers.csv` says, as `bridge customers import` writes it. Its cells hold no commas and no quotes.
    pub(crate) async fn import_sample_customers(&self) {
        let (customers, events) = self.tables();
        let lines = std::fs::read_to_string(folder().join("customers.csv")).unwrap();
        for line in lines.lines().skip(1) {
            let [reference, id, .., once] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let now = Clock::system().now();
            customers.put(&CustomerRef::parse(reference).unwrap(), &Customer::new(id, now)).await.unwrap();
            if !once.is_empty() {
                events.claim_once(once, id, "import", now, now).await.unwrap();
            }
        }
    }

    /// One run of redrive; its counts.
    pub(crate) async fn redrive(&self, request: Value) -> Value {
        within(self.stack.redrive(request)).await.unwrap()
    }

    /// Time passes until everything pending is due.
    pub(crate) async fn make_due(&self) -> usize {
        within(self.stack.make_due()).await.unwrap()
    }

    /// Returns when no function works on anything any more.
    pub(crate) async fn settled(&self) {
        within(self.stack.settled()).await;
    }

    /// The event as the table holds it.
    #[track_caller]
    pub(crate) fn item(&self, pk: &str) -> Value {
        self.stack.dynamodb.item(pk).unwrap_or_else(|| panic!("no event {pk} in the table"))
    }

    /// The bodies of the messages that Returning.AI has taken, in order.
    pub(crate) fn messages(&self) -> Vec<Value> {
        self.stack.returning_ai.all_messages().into_iter().map(|message| message.body).collect()
    }

    /// The functions' lines so far, each as JSON.
    #[track_caller]
    pub(crate) fn log(&self) -> Vec<Value> {
        let read = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        self.stack.log().lines().iter().map(read).collect()
    }

    /// The lines that hold `text`, once there is one: a line arrives a moment after the answer.
    pub(crate) async fn lines_with(&self, text: &str) -> Vec<Value> {
        let is_there = |lines: &VecDeque<String>| lines.iter().any(|line| line.contains(text));
        self.stack.log().wait_until(is_there, BOUND).await.unwrap();
        self.log().into_iter().filter(|line| line.to_string().contains(text)).collect()
    }

    /// The one line of each delivery posted or invoked so far.
    pub(crate) async fn delivery_lines(&self) -> Vec<Value> {
        let answered = self.answered.load(Ordering::SeqCst);
        let is_of_delivery = |line: &&String| line.contains(r#""outcome":"#);
        let all_written = |lines: &VecDeque<String>| lines.iter().filter(is_of_delivery).count() >= answered;
        self.stack.log().wait_until(all_written, BOUND).await.unwrap();
        self.log().into_iter().filter(|line| line.get("outcome").is_some()).collect()
    }

    /// The line of the newest delivery.
    pub(crate) async fn last_line(&self) -> Value {
        self.delivery_lines().await.pop().unwrap()
    }
}

/// Deliveries wait for each other instead of getting processes of their own.
pub(crate) fn one_process(options: &mut StackOptions) {
    options.max_processes = 1;
}

impl Answer {
    pub(crate) fn told(&self) -> (u16, &str) {
        (self.status, &self.body)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Delivery {
    /// Signed with the sample key and the time now, over the body as it is.
    pub(crate) fn signed(provider: &'static str, body: impl Into<Bytes>) -> Self {
        Self::signed_at(provider, now_s(), body)
    }

    pub(crate) fn signed_at(provider: &'static str, signed_at: u64, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self::new(provider, &sample_key(provider), &signed_at.to_string(), &body.clone(), body)
    }

    pub(crate) fn signed_by(provider: &'static str, key: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self::new(provider, key, &now_s().to_string(), &body.clone(), body)
    }

    /// Signed over `text`, whatever the body is.
    pub(crate) fn signed_over(provider: &'static str, text: &str, body: impl Into<Bytes>) -> Self {
        Self::new(provider, &sample_key(provider), &now_s().to_string(), text.as_bytes(), body.into())
    }

    fn new(provider: &'static str, key: &str, signed_at: &str, text: &[u8], body: Bytes) -> Self {
        let (signature, time) = signed_parts(provider);
        let unsigned = Self { provider, headers: Vec::new(), body }.and(header("content-type"), "application/json");
        unsigned.and(signature, &self::signature(key, signed_at, text)).and(time, signed_at)
    }

    pub(crate) fn without(mut self, part: HeaderPart) -> Self {
        self.headers.retain(|(name, value)| match part {
            HeaderPart::Whole(header) => name != header,
            HeaderPart::Member { header, name: member } => name != header || !value.starts_with(&format!("{member}=")),
        });
        self
    }

    /// With this value in place of the one it had, if any.
    pub(crate) fn with(self, part: HeaderPart, value: &str) -> Self {
        self.without(part).and(part, value)
    }

    /// With this value on top of those it has: a header of its own, which of a list is a part.
    pub(crate) fn and(mut self, part: HeaderPart, value: &str) -> Self {
        let value = match part {
            HeaderPart::Whole(_) => value.to_owned(),
            HeaderPart::Member { name, .. } => format!("{name}={value}"),
        };
        self.headers.push((part.header().to_owned(), value));
        self
    }

    pub(crate) fn signature(&self) -> &str {
        let (signature, _) = signed_parts(self.provider);
        let headers = self.headers.iter().filter(|(name, _)| name == signature.header());
        match signature {
            HeaderPart::Whole(_) => headers.map(|(_, value)| value.as_str()).next().unwrap(),
            HeaderPart::Member { name, .. } => {
                headers.filter_map(|(_, value)| value.strip_prefix(name)?.strip_prefix('=')).next().unwrap()
            }
        }
    }
}

/// Where the provider has the signature and its time.
pub(crate) fn signed_parts(provider: &str) -> (HeaderPart, HeaderPart) {
    let provider = providers::by_name(provider).unwrap();
    (provider.signature, provider.signed_at)
}

pub(crate) fn header(name: &'static str) -> HeaderPart {
    HeaderPart::Whole(name)
}

/// HMAC-SHA256 over `{signed_at}.{text}`, in hexadecimal: what both providers send.
pub(crate) fn signature(key: &str, signed_at: &str, text: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(signed_at.as_bytes());
    mac.update(b".");
    mac.update(text);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A withdrawal that the repository's routes deliver to the workflow `withdrawal`, and nowhere else.
pub(crate) fn withdrawal(event_id: &str) -> String {
    format!(
        r#"{{"event_id":"{event_id}","event_date":"2023-11-20T14:32:18.123456Z","event_type":"WITHDRAWAL_COMPLETED","event_data":{{"withdrawal_id":"wdl_1","account_id":"ACCOUNT_1","customer_id":"C-1001","amount":1000.00,"asset_type_id":"FIAT_MAINNET_USD","status":"COMPLETED"}}}}"#
    )
}

/// A deposit, which the repository's routes deliver twice: as every deposit, and as its customer's first one.
pub(crate) fn deposit(event_id: &str) -> String {
    format!(
        r#"{{"event_id":"{event_id}","event_date":"2023-11-20T14:32:18.123456Z","event_type":"TRANSACTION_POSTED","event_data":{{"transaction_id":"txn_1","account_id":"ACCOUNT_1","customer_id":"C-1001","amount":1000.00,"asset_type_id":"FIAT_MAINNET_USD","category":"DEPOSIT","status":"POSTED"}}}}"#
    )
}

/// A finished KYC flow that the repository's routes deliver to the workflow `kyc`; in canonical form.
pub(crate) fn flow_completed(event_id: &str) -> String {
    format!(
        r#"{{"data":{{"flow_id":"f1","metadata":{{"customerId":"C-1001"}},"status":"COMPLETED","user_id":"u1"}},"id":"{event_id}","timestamp":1738784271042,"type":"FLOW_COMPLETED"}}"#
    )
}

/// An event of the provider that the repository's routes deliver to one workflow, and nowhere else.
pub(crate) fn wanted(provider: &str, event_id: &str) -> String {
    match provider {
        RAIL => withdrawal(event_id),
        RILLIS => flow_completed(event_id),
        other => wanted_example(providers::by_name(other).unwrap(), event_id),
    }
}

/// The route that delivers [`wanted`].
pub(crate) fn route_of_wanted(provider: &str) -> &'static Route {
    let body = wanted(provider, "e1");
    let [route] = routes_of(providers::by_name(provider).unwrap(), body.as_bytes())[..] else { panic!("{body}") };
    route
}

/// The workflow that [`wanted`] is delivered to.
pub(crate) fn workflow_of_wanted(provider: &str) -> &'static str {
    route_of_wanted(provider).destination.name()
}

/// The first example that one route delivers, to a workflow and to a customer that the body names; with this event id.
#[track_caller]
fn wanted_example(provider: &Provider, event_id: &str) -> String {
    let of_provider = |file: &&String| file.starts_with(&format!("{}/", provider.name));
    let files: Vec<String> = expectations().into_keys().collect();
    let bodies = files.iter().filter(of_provider).map(|file| std::fs::read(folder().join(file)).unwrap());
    let is_wanted = |body: &Vec<u8>| {
        let document = Document::parse(body).unwrap();
        let names_customer = |route: &Route| {
            let found = route.customer.iter().find(|source| id_at(document.root(), source.pointer()).is_some());
            matches!(found, Some(CustomerSource::Body(_)))
        };
        match routes_of(provider, body)[..] {
            [route] => {
                let to_workflow = matches!(route.destination, Destination::Workflow(_));
                to_workflow && !route.once_per_customer && names_customer(route)
            }
            _ => false,
        }
    };
    let body = bodies.into_iter().find(is_wanted).unwrap_or_else(|| {
        panic!("no example of {} is delivered by one route alone, to a customer that it names: add one", provider.name)
    });
    let document = Document::parse(&body).unwrap();
    let old = document.root().get(provider.envelope.event_id).unwrap().source();
    let (before, rest) = document.text().split_once(old).unwrap();
    assert!(!rest.contains(old), "{rest}: which of them is the id?");
    format!("{before}\"{event_id}\"{rest}")
}

/// The repository's routes that want a body.
fn routes_of(provider: &Provider, body: &[u8]) -> Vec<&'static Route> {
    static ROUTES: LazyLock<Routes> = LazyLock::new(providers::routes);
    let document = Document::parse(body).unwrap();
    let event_type = provider.read_envelope(document.root()).event_type.unwrap_or_default();
    let fits = |route: &&Route| route.fit(provider.name, &event_type, document.root()) == Fit::Matches;
    ROUTES.all().iter().filter(fits).collect()
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) async fn within<F: Future>(happens: F) -> F::Output {
    match tokio::time::timeout(BOUND, happens).await {
        Ok(happened) => happened,
        Err(_) => panic!("did not happen within {BOUND:?}"),
    }
}

/// Rail's function with `tests/functions/with_many_routes.toml`, beside the stack's own.
pub(crate) fn many_routes(bridge: &Bridge) -> LambdaHost {
    let binary = env!("CARGO_BIN_EXE_function-with-many-routes").into();
    LambdaHost::start(FunctionSpec { binary, ..bridge.stack.function_spec(RAIL) }).unwrap()
}

/// The folder of the functions' binaries; built once per run of the tests.
pub(crate) fn functions() -> PathBuf {
    static FUNCTIONS: OnceLock<PathBuf> = OnceLock::new();
    FUNCTIONS.get_or_init(|| build_functions(Profile::Debug).unwrap()).clone()
}
