//! Execution environments: the bridge's functions as their `main`s set them up, with clients that end in this process.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_runtime::client::auth::no_auth::NO_AUTH_SCHEME_ID;
use aws_smithy_runtime::client::retries::RetryPartition;
use route::routes::{Known, Routes};
use shared::clock::Clock;
use shared::config::{AwsConfig, DEFAULT_DUE_PARTS, DEFAULT_MAX_BODY_BYTES};
use shared::customer::api_client::{ApiAccount, ApiClient};
use shared::customer::table::Customers;
use shared::deliver::attempt::Deliverer;
use shared::deliver::pauses::PauseCache;
use shared::deliver::resolver::Resolver;
use shared::deliver::returning_ai::ReturningAi;
use shared::deliver::webhooks::Webhooks;
use shared::outside::aws;
use shared::outside::http::Http;
use shared::outside::secrets::CachedSecret;
use shared::receive::provider::Provider;
use shared::receive::receiver::Receiver;
use shared::receive::signing_keys::SigningKeys;
use shared::record::store::EventStore;
use shared::redrive::run::Redriver;

use crate::outside::{DYNAMODB, SECRETS_MANAGER, end};
use crate::routes::ROUTES;
use crate::secrets::{API_SECRET, SIGNING_SECRET, WEBHOOKS_SECRET};
use crate::tables::{CUSTOMERS, EVENTS};
use crate::time::clock;
use crate::world::{Shared, lock};

/// The functions' `Timeout`.
pub const TIMEOUT: Duration = Duration::from_secs(30);

thread_local! {
    /// Setting up TLS takes longer than a life.
    static HTTP: Http = Http::new().expect("this build has TLS");
}

pub fn http(world: &Shared) -> Http {
    HTTP.with(Http::clone).ending_in(end(world))
}

/// A receiving function, cold.
pub fn receiver(world: &Shared, provider: &'static Provider) -> Receiver {
    let parts = Parts { due_parts: lock(world).draw_due_parts(), ..Parts::new(world) };
    Receiver {
        provider,
        clock: parts.clock,
        signing_keys: SigningKeys::new(parts.secrets.clone(), SIGNING_SECRET.to_owned(), parts.clock),
        deliverer: parts.deliverer(&[provider]),
        max_body_bytes: DEFAULT_MAX_BODY_BYTES,
    }
}

/// The redrive function, cold.
pub fn redrive(world: &Shared) -> Redriver {
    let parts = Parts { due_parts: lock(world).draw_due_parts(), ..Parts::new(world) };
    Redriver::new(parts.deliverer(providers::ALL))
}

pub fn events(world: &Shared) -> EventStore {
    EventStore::new(Parts::new(world).dynamodb, EVENTS.to_owned())
}

struct Parts {
    clock: Clock,
    http: Http,
    dynamodb: aws_sdk_dynamodb::Client,
    secrets: aws_sdk_secretsmanager::Client,
    due_parts: u8,
}

impl Parts {
    fn new(world: &Shared) -> Self {
        let http = http(world);
        let config = AwsConfig {
            region: "eu-west-1".to_owned(),
            credentials: Credentials::new("simulation", "simulation", None, None, "simulation"),
            dynamodb_url: Some(DYNAMODB.to_owned()),
            secrets_manager_url: Some(SECRETS_MANAGER.to_owned()),
        };
        // The SDK keeps its retry tokens for the whole process unless a client has its own; lives must not share them. What is
        // signed is not looked at here, so nothing is signed.
        let dynamodb = aws::dynamodb(&config, &http);
        let dynamodb = dynamodb
            .config()
            .to_builder()
            .retry_partition(RetryPartition::custom("events").build())
            .allow_no_auth()
            .auth_scheme_preference([NO_AUTH_SCHEME_ID]);
        let secrets = aws::secrets_manager(&config, &http);
        let secrets = secrets
            .config()
            .to_builder()
            .retry_partition(RetryPartition::custom("secrets").build())
            .allow_no_auth()
            .auth_scheme_preference([NO_AUTH_SCHEME_ID]);
        Self {
            clock: clock(),
            http,
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            secrets: aws_sdk_secretsmanager::Client::from_conf(secrets.build()),
            due_parts: DEFAULT_DUE_PARTS,
        }
    }

    fn deliverer(&self, providers: &[&'static Provider]) -> Deliverer {
        let Self { clock, http, dynamodb, secrets, .. } = self;
        let secret = |id: &str| (secrets.clone(), id.to_owned(), *clock);
        let webhooks = {
            let (client, id, clock) = secret(WEBHOOKS_SECRET);
            CachedSecret::new(client, id, clock, Webhooks::parse)
        };
        let api_client = |provider: &&'static Provider| {
            let (client, id, clock) = secret(API_SECRET);
            let account = CachedSecret::new(client, id, clock, ApiAccount::parse);
            Some(ApiClient::new(provider.name, provider.api.as_ref()?, http.clone(), account, clock))
        };
        Deliverer {
            clock: *clock,
            store: EventStore::new(dynamodb.clone(), EVENTS.to_owned()).spreading_over(self.due_parts),
            returning_ai: ReturningAi::new(http.clone(), webhooks, *clock),
            resolver: Resolver {
                clock: *clock,
                customers: Some(Customers::new(dynamodb.clone(), CUSTOMERS.to_owned())),
                apis: providers.iter().filter_map(api_client).collect(),
            },
            routes: Routes::parse("routes", ROUTES, Known::Anything).expect("the routes can be read"),
            pauses: PauseCache::default(),
        }
    }
}

/// Environments of one function that wait for an invocation, each with its number.
pub struct Idle<T>(Rc<RefCell<Vec<(T, usize)>>>);

impl<T> Default for Idle<T> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<T> Clone for Idle<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Idle<T> {
    pub fn take(&self) -> Option<(T, usize)> {
        self.0.borrow_mut().pop()
    }

    pub fn give_back(&self, function: T, environment: usize) {
        self.0.borrow_mut().push((function, environment));
    }

    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}
