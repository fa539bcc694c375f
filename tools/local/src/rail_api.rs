//! A stand-in for Rail's API: strict about tokens and scopes, knows accounts, applications and subscriptions, fails by
//! script.
//!
//! What it insists on is in `docs/contracts/rail.md`.

mod answers;
mod subscriptions;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

pub use self::subscriptions::Subscription;

use self::answers::{API_PREFIX, Refusal, api_error, oauth_error, query};
use self::subscriptions::Subscriptions;
use crate::faults::{Faults, When};
use crate::front::{Answer, Front, Guests, JSON, json_response, text_response};
use crate::records::{Records, Timeout};

/// One of its calls.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum At {
    Token,
    Account,
    Application,
    Transaction,
    ListSubscriptions,
    CreateSubscription,
    ReadSubscription,
    DeleteSubscription,
}

/// What goes wrong with a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// This status, with an error in the form of the call.
    Status(u16),
    /// This status with `Retry-After`, in seconds or as an HTTP date.
    RetryAfter { status: u16, after: String },
    /// No answer, and the call has no effect.
    Hang,
    /// The call takes effect and gets no answer.
    HangAfter,
    /// The answer comes this much later.
    Slow(Duration),
    /// Half of the body, and the rest after this pause.
    SlowBody(Duration),
    /// The connection is reset, and the call has no effect.
    Reset,
    /// The call takes effect, then the connection is reset before a byte of the answer.
    ResetAfter,
    /// Bytes that are not HTTP.
    Garbage,
    /// 200 with JSON that breaks off.
    GarbageBody,
    /// 200 with this body, and the call has no effect.
    Body(String),
    /// 200 with a page of HTML, as a proxy in between answers.
    WrongContentType,
    /// 401, and every token is void.
    RevokeTokens,
}

/// One call, as it came and as it was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    pub at: At,
    /// Which account, application or subscription; of a new subscription the event type; for a token the scopes that were
    /// asked for.
    pub of: String,
    /// The fault that struck it.
    pub fault: Option<Fault>,
}

/// A rule of Rail that a caller broke.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    UnknownUrl,
    WrongMethod,
    GrantTypeIsNotClientCredentials,
    /// No scope was requested, or an unknown one, or one that the client does not have.
    Scope,
    ClientUnknown,
    /// No `Authorization: Bearer ...`.
    NoBearer,
    /// A token whose scopes do not allow the call.
    ScopeMissing,
}

/// A running API; dropping it closes the port.
#[derive(Debug)]
pub struct RailApi {
    world: Arc<World>,
    front: Front,
}

/// What reading an account, an application takes.
pub const ACCOUNTS_READ: &str = "accounts:read";
pub const APPLICATIONS_READ: &str = "applications:read";

/// What seeing subscriptions, changing them takes.
pub const SUBSCRIPTIONS_READ: &str = "subscriptions:read";
pub const SUBSCRIPTIONS_WRITE: &str = "subscriptions:write";

/// The client that the sample secret has.
pub const SAMPLE_CLIENT_ID: &str = "rail_sample_client_do_not_use";
pub const SAMPLE_CLIENT_SECRET: &str = "rail_sample_client_secret_do_not_use";

/// The accounts that the bodies of `events/rail` name, each with its customer.
pub const SAMPLE_ACCOUNTS: [(&str, &str); 7] = [
    ("CUSTOMER_USD_001", "C-1001"),
    ("CUSTOMER_EUR_002", "C-1002"),
    ("CUSTOMER_USD_003", "C-1003"),
    ("CUSTOMER_USD_004", "C-1004"),
    ("CUSTOMER_EUR_005", "C-1005"),
    ("CUSTOMER_USDC_006", "C-1006"),
    ("CUSTOMER_ETH_007", "C-1007"),
];

/// The applications that they name and that a route wants.
pub const SAMPLE_APPLICATIONS: [(&str, &str); 4] = [
    ("8a4d2c36-1b7e-4f95-a3c8-6e0d9b5f2471", "C-1004"),
    ("13b7e9a5-c842-4d06-b5f1-7e9c0a2d4863", "C-1005"),
    ("2f1c7f0e-6f0b-4a52-9d0c-3c1f5b7a9e10", "C-1008"),
    ("c5e8b1d4-7a23-4c69-8f10-d2b94e6a7c38", "C-1009"),
];

impl RailApi {
    /// Starts it with the sample client, accounts and applications.
    ///
    /// # Errors
    /// There is no port.
    pub fn start() -> io::Result<Self> {
        let world = Arc::new(World::default());
        let owned =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(id, of)| ((*id).to_owned(), (*of).to_owned())).collect();
        *world.state() = State {
            client_secret: SAMPLE_CLIENT_SECRET.to_owned(),
            scopes: SCOPES.map(str::to_owned).into(),
            expires_in_s: 900,
            tokens: HashMap::new(),
            accounts: owned(&SAMPLE_ACCOUNTS),
            applications: owned(&SAMPLE_APPLICATIONS),
            transactions: HashMap::new(),
            subscriptions: Subscriptions::default(),
        };
        let answering = world.clone();
        let front = Front::start(
            0,
            MAX_REQUEST_BYTES,
            |_| Guests::Programs,
            move |request| {
                let world = answering.clone();
                async move { world.answer(&request).await }
            },
        )?;
        Ok(Self { world, front })
    }

    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Closes the connections that callers keep open, as idle ones are.
    pub async fn close_connections(&self) {
        self.front.close_connections().await;
    }

    /// What its paths are appended to.
    pub fn base_url(&self) -> String {
        format!("{}{API_PREFIX}", self.url())
    }

    pub fn token_url(&self) -> String {
        format!("{}{TOKEN_PATH}", self.url())
    }

    /// The value of the secret that `RAIL_API_SECRET_ID` names.
    pub fn secret(&self) -> Value {
        json!({
            "base_url": self.base_url(),
            "token_url": self.token_url(),
            "client_id": SAMPLE_CLIENT_ID,
            "client_secret": self.world.state().client_secret,
        })
    }

    /// From now on the client's secret is this one, as after a rotation; tokens stay.
    pub fn set_client_secret(&self, client_secret: &str) {
        client_secret.clone_into(&mut self.world.state().client_secret);
    }

    /// The scopes that the client may request; all by default.
    pub fn set_scopes(&self, scopes: &[&str]) {
        self.world.state().scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    }

    /// `expires_in` of the tokens given from now on, in seconds; 0 gives tokens that have expired already.
    pub fn set_token_lifetime(&self, expires_in_s: u64) {
        self.world.state().expires_in_s = expires_in_s;
    }

    /// Voids every token, before its time.
    pub fn revoke_tokens(&self) {
        self.world.state().tokens.clear();
    }

    /// Adds an account of this customer.
    pub fn put_account(&self, id: &str, customer_id: &str) {
        self.world.state().accounts.insert(id.to_owned(), customer_id.to_owned());
    }

    /// Adds an application of this customer.
    pub fn put_application(&self, id: &str, customer_id: &str) {
        self.world.state().applications.insert(id.to_owned(), customer_id.to_owned());
    }

    /// Changes what is said of a transaction of an account. Of others an account has any transaction that is asked for.
    pub fn put_transaction(&self, account: &str, id: &str, description: &str) {
        self.world.state().transactions.insert(format!("{account}/{id}"), description.to_owned());
    }

    /// Removes an account.
    pub fn remove_account(&self, id: &str) {
        self.world.state().accounts.remove(id);
    }

    /// Removes an application.
    pub fn remove_application(&self, id: &str) {
        self.world.state().applications.remove(id);
    }

    /// The subscriptions, oldest first.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        self.world.state().subscriptions.live.clone()
    }

    /// Adds a subscription as if a person had created it.
    pub fn add_subscription(&self, event_type: &str, callback_url: &str) -> Subscription {
        self.world.state().subscriptions.add(event_type, callback_url)
    }

    /// Deletes a subscription as a person would; the answer to its creation stays saved.
    pub fn remove_subscription(&self, id: &str) {
        self.world.state().subscriptions.live.retain(|known| known.id != id);
    }

    /// Removes an event type.
    pub fn refuse_event_type(&self, event_type: &str) {
        self.world.state().subscriptions.refused_types.insert(event_type.to_owned());
    }

    /// Whether the list shows each `signature_verification_key`; it does by default.
    pub fn show_keys_in_list(&self, shown: bool) {
        self.world.state().subscriptions.list_shows_keys = shown;
    }

    /// Whether a second subscription of a type and URL is refused; it is not by default.
    pub fn refuse_duplicate_subscriptions(&self, refused: bool) {
        self.world.state().subscriptions.refuses_duplicates = refused;
    }

    /// How many subscriptions are on a page of the list.
    pub fn set_page_size(&self, page_size: usize) {
        self.world.state().subscriptions.page_size = page_size.max(1);
    }

    /// Scripts a fault of one call, or of all (`None`).
    pub fn inject(&self, at: Option<At>, fault: Fault, when: When) {
        self.world.faults.inject(at, fault, when);
    }

    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// Remembers only the newest calls and violations from now on: between `at_least` and twice as many of each.
    pub fn remember(&self, at_least: usize) {
        self.world.calls.keep(at_least);
        self.world.violations.keep(at_least);
    }

    /// The calls, in order; those that are none of its own are [`violations`](Self::violations) only.
    pub fn calls(&self) -> Vec<Call> {
        self.world.calls.all()
    }

    /// How often it was called at one place.
    pub fn count(&self, at: At) -> usize {
        self.world.calls.count(|call| call.at == at)
    }

    /// The rules broken so far.
    pub fn violations(&self) -> Vec<Rule> {
        self.world.violations.all()
    }

    /// Forgets calls and violations; tokens and faults stay.
    pub fn reset_records(&self) {
        self.world.calls.clear();
        self.world.violations.clear();
    }

    /// Returns once `reached` holds of all calls so far.
    ///
    /// # Errors
    /// It did not within `bound`.
    pub async fn wait_for_calls(&self, reached: impl Fn(&[Call]) -> bool, bound: Duration) -> Result<(), Timeout> {
        self.world.calls.wait_for(reached, bound).await
    }
}

#[derive(Debug, Default)]
struct World {
    state: Mutex<State>,
    faults: Faults<At, Fault>,
    calls: Records<Call>,
    violations: Records<Rule>,
}

#[derive(Debug, Default)]
struct State {
    client_secret: String,
    scopes: BTreeSet<String>,
    expires_in_s: u64,
    tokens: HashMap<String, Token>,
    /// Each id's customer.
    accounts: HashMap<String, String>,
    applications: HashMap<String, String>,
    /// Each `{account}/{id}`'s description.
    transactions: HashMap<String, String>,
    subscriptions: Subscriptions,
}

#[derive(Debug)]
struct Token {
    scopes: BTreeSet<String>,
    expires: Instant,
}

impl World {
    async fn answer(&self, request: &Request<Bytes>) -> Answer {
        let Some((at, of)) = place(request) else {
            self.violations.push(Rule::UnknownUrl);
            return Answer::Http(api_error(&Refusal(StatusCode::NOT_FOUND, "NOT_FOUND", "no such resource")));
        };
        let fault = self.faults.draw(&at);
        if fault == Some(Fault::RevokeTokens) {
            self.state().tokens.clear();
        }
        // Counted after the draw: a test that waits for the call can then change the script.
        self.calls.push(Call { at, of: of.clone(), fault: fault.clone() });
        let refused = |refused: &Refusal| if at == At::Token { oauth_error(refused) } else { api_error(refused) };
        let answered = |world: &Self| {
            let answer = match at {
                At::Token => world.give_token(request, &of),
                _ => world.perform(at, &of, request),
            };
            answer.unwrap_or_else(|why| refused(&why))
        };
        match fault {
            None => Answer::Http(answered(self)),
            Some(Fault::Slow(pause)) => {
                tokio::time::sleep(pause).await;
                Answer::Http(answered(self))
            }
            Some(Fault::SlowBody(pause)) => Answer::SlowBody(answered(self), pause),
            Some(Fault::Status(status)) => Answer::Http(refused(&injected(status))),
            Some(Fault::RetryAfter { status, after }) => {
                let mut response = refused(&injected(status));
                if let Ok(after) = HeaderValue::from_str(&after) {
                    response.headers_mut().insert(header::RETRY_AFTER, after);
                }
                Answer::Http(response)
            }
            Some(Fault::RevokeTokens) => Answer::Http(refused(&UNAUTHORIZED)),
            Some(Fault::Hang) => Answer::Hang,
            Some(Fault::HangAfter) => {
                answered(self);
                Answer::Hang
            }
            Some(Fault::Reset) => Answer::Reset,
            Some(Fault::ResetAfter) => {
                answered(self);
                Answer::Reset
            }
            Some(Fault::Garbage) => Answer::Raw(Bytes::from_static(GARBAGE)),
            Some(Fault::GarbageBody) => {
                Answer::Http(answered(self).map(|body| body.slice(..body.len() - body.len() / 3)))
            }
            Some(Fault::Body(body)) => Answer::Http(text_response(StatusCode::OK, JSON, body)),
            Some(Fault::WrongContentType) => {
                let mut response = Response::new(Bytes::from_static(PAGE));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
                Answer::Http(response)
            }
        }
    }

    fn give_token(&self, request: &Request<Bytes>, scopes: &str) -> Result<Response<Bytes>, Refusal> {
        if request.method() != Method::POST {
            self.violations.push(Rule::WrongMethod);
            return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "POST only"));
        }
        let mut state = self.state();
        let expected = STANDARD.encode(format!("{SAMPLE_CLIENT_ID}:{}", state.client_secret));
        if credentials(request.headers(), "Basic") != Some(&expected) {
            self.violations.push(Rule::ClientUnknown);
            return Err(Refusal(StatusCode::UNAUTHORIZED, "invalid_client", "no such client, or another secret"));
        }
        if query(request, "grant_type").as_deref() != Some("client_credentials") {
            self.violations.push(Rule::GrantTypeIsNotClientCredentials);
            return Err(Refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", "client_credentials only"));
        }
        let asked: BTreeSet<String> = scopes.split_whitespace().map(str::to_owned).collect();
        if asked.is_empty() || !asked.is_subset(&state.scopes) {
            self.violations.push(Rule::Scope);
            return Err(Refusal(StatusCode::BAD_REQUEST, "invalid_scope", "a scope that the client has is wanted"));
        }
        let token = format!("rail_sample_token_{:032x}", fastrand::u128(..));
        let expires_in_s = state.expires_in_s;
        let now = Instant::now();
        // One that has expired is refused like one that never was.
        state.tokens.retain(|_, token| token.expires > now);
        let given = Token { scopes: asked, expires: now + Duration::from_secs(expires_in_s) };
        state.tokens.insert(token.clone(), given);
        let body =
            json!({ "token_type": "Bearer", "expires_in": expires_in_s, "access_token": token, "scope": scopes });
        Ok(json_response(StatusCode::OK, JSON, &body))
    }

    fn perform(&self, at: At, id: &str, request: &Request<Bytes>) -> Result<Response<Bytes>, Refusal> {
        let (method, scope) = match at {
            At::Application => (Method::GET, APPLICATIONS_READ),
            At::ListSubscriptions | At::ReadSubscription => (Method::GET, SUBSCRIPTIONS_READ),
            At::CreateSubscription => (Method::POST, SUBSCRIPTIONS_WRITE),
            At::DeleteSubscription => (Method::DELETE, SUBSCRIPTIONS_WRITE),
            At::Account | At::Transaction | At::Token => (Method::GET, ACCOUNTS_READ),
        };
        if request.method() != method {
            self.violations.push(Rule::WrongMethod);
            return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "another method is wanted"));
        }
        let Some(token) = credentials(request.headers(), "Bearer") else {
            self.violations.push(Rule::NoBearer);
            return Err(UNAUTHORIZED);
        };
        let mut state = self.state();
        let token = state.tokens.get(token).filter(|token| token.expires > Instant::now()).ok_or(UNAUTHORIZED)?;
        if !token.scopes.contains(scope) {
            self.violations.push(Rule::ScopeMissing);
            return Err(Refusal(StatusCode::FORBIDDEN, "FORBIDDEN", "the token lacks the scope for this"));
        }
        match at {
            At::ListSubscriptions => return Ok(state.subscriptions.list(request)),
            At::CreateSubscription => return state.subscriptions.create(request),
            At::ReadSubscription => return state.subscriptions.read(id),
            At::DeleteSubscription => return state.subscriptions.delete(id),
            At::Account | At::Application | At::Transaction | At::Token => {}
        }
        let (known, of) = match at {
            At::Transaction => (&state.accounts, id.split('/').next().unwrap_or_default()),
            At::Account => (&state.accounts, id),
            _ => (&state.applications, id),
        };
        let customer_id = known.get(of).ok_or(Refusal(StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such id"))?;
        let data = match at {
            At::Account => json!({
                "id": id,
                "status": "OPEN",
                "customer_id": customer_id,
                "product_id": "DEPOSIT_BASIC",
                "asset_type_id": "FIAT_TESTNET_USD",
            }),
            At::Transaction => json!({
                "id": id.split('/').next_back(),
                "account_id": of,
                "status": "POSTED",
                "description": state.transactions.get(id).map_or("a sample transaction", String::as_str),
            }),
            _ => json!({
                "id": id,
                "status": "APPROVED",
                "application_type": "INDIVIDUAL",
                "customer_id": customer_id,
            }),
        };
        Ok(json_response(StatusCode::OK, JSON, &json!({ "data": data })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which call this is, and of what.
fn place(request: &Request<Bytes>) -> Option<(At, String)> {
    let path = request.uri().path();
    if path == TOKEN_PATH {
        return Some((At::Token, query(request, "scope").unwrap_or_default()));
    }
    let path = path.strip_prefix(API_PREFIX)?;
    if path == "/v1/subscriptions" {
        if request.method() != Method::POST {
            return Some((At::ListSubscriptions, String::new()));
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        return Some((At::CreateSubscription, body["event_type"].as_str().unwrap_or_default().to_owned()));
    }
    let one = if request.method() == Method::DELETE { At::DeleteSubscription } else { At::ReadSubscription };
    let calls =
        [(At::Account, "/v1/accounts/deposits/"), (At::Application, "/v1/applications/"), (one, "/v1/subscriptions/")];
    let (at, id) = calls.into_iter().find_map(|(at, prefix)| Some((at, path.strip_prefix(prefix)?)))?;
    if let (At::Account, Some((account, transaction))) = (at, id.split_once("/transactions/")) {
        let of = format!("{}/{}", segment(account)?, segment(transaction)?);
        return Some((At::Transaction, of));
    }
    Some((at, segment(id)?))
}

fn segment(id: &str) -> Option<String> {
    // An id is one segment: without encoded slashes it is another path.
    let id = percent_decode_str(Some(id).filter(|id| !id.is_empty() && !id.contains('/'))?).decode_utf8().ok()?;
    Some(id.into_owned())
}

/// What follows the scheme in `authorization`.
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (named, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then_some(credentials)
}

fn injected(status: u16) -> Refusal {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Refusal(status, "INJECTED", "injected")
}

const UNAUTHORIZED: Refusal = Refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "a live token is wanted");

/// Those that the bridge has a use for.
const SCOPES: [&str; 4] = [ACCOUNTS_READ, APPLICATIONS_READ, SUBSCRIPTIONS_READ, SUBSCRIPTIONS_WRITE];

const TOKEN_PATH: &str = "/oauth2/sample/v1/token";
const GARBAGE: &[u8] = b"\x16\x03\x01\x02\x00 this is not HTTP\r\n\r\n";
const PAGE: &[u8] = b"<!doctype html><title>Sign in</title><p>Please sign in.";
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
