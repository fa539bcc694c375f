//! A world of Rail's API and Secrets Manager, and what it must look like when all is in step.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_credential_types::Credentials;
use local::rail_api::RailApi as RailStandIn;
use local::secrets_manager::SecretsManager;
use operator::rail_subscriptions::{
    CallbackUrl, Error, Outcome, Progress, RailApi, Rotation, SigningSecret, Subscriptions,
};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::AwsConfig;
use shared::customer::api_client::{ApiAccount, ApiClient};
use shared::customer::provider_api::ProviderApi;
use shared::outside::http::Http;
use shared::outside::secrets::CachedSecret;

pub(crate) const URL: &str = "https://example.com/webhooks/rail";
pub(crate) const SIGNING: &str = "bridge/rail/signing";
pub(crate) const API: &str = "bridge/rail/api";

/// Whatever is waited for takes milliseconds; this long only on a machine that hardly runs.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) rail: RailStandIn,
    pub(crate) secrets: SecretsManager,
    pub(crate) required: BTreeSet<String>,
    pub(crate) url: CallbackUrl,
}

impl World {
    /// Nothing at Rail, and a key of somebody's in the secret that nobody may drop.
    pub(crate) fn needing(types: &[&str]) -> Self {
        let rail = RailStandIn::start().unwrap();
        rail.set_page_size(2);
        let secrets = SecretsManager::start(None).unwrap();
        secrets.put(API, &rail.secret()).unwrap();
        secrets.put(SIGNING, &json!({ "keys": { "somebody's": "whsec_sample_of_somebody" } })).unwrap();
        let required = types.iter().map(|name| (*name).to_owned()).collect();
        Self { rail, secrets, required, url: CallbackUrl::parse(URL).unwrap() }
    }

    /// A new process's way in.
    pub(crate) fn open(&self) -> Subscriptions {
        self.open_with(&RailApi::CHANGING)
    }

    pub(crate) fn open_with(&self, api: &ProviderApi) -> Subscriptions {
        let config = AwsConfig {
            region: "us-east-1".to_owned(),
            credentials: Credentials::new("local", "local", None, None, "test"),
            dynamodb_url: None,
            secrets_manager_url: Some(self.secrets.url()),
        };
        let http = Http::new().unwrap();
        let client = shared::outside::aws::secrets_manager(&config, &http);
        let account = CachedSecret::new(client.clone(), API.to_owned(), Clock::system(), ApiAccount::parse);
        let client_of_rail = ApiClient::new("rail", api, http, account, Clock::system());
        Subscriptions {
            api: RailApi::new(client_of_rail).with_first_pause(Duration::ZERO),
            secret: SigningSecret::new(client, SIGNING.to_owned()),
        }
    }

    pub(crate) async fn sync(&self) -> Result<Outcome, Error> {
        self.sync_with(false, |_| {}).await
    }

    pub(crate) async fn sync_with(&self, prune: bool, report: impl FnMut(&Progress)) -> Result<Outcome, Error> {
        let subscriptions = self.open();
        let snapshot = subscriptions.snapshot().await?;
        subscriptions.sync(snapshot, &self.required, &self.url, prune, report).await
    }

    pub(crate) async fn rotate(&self, only: Option<&str>) -> Result<Outcome, Error> {
        let rotation = Rotation {
            required: &self.required,
            callback_url: &self.url,
            only,
            pace: Duration::ZERO,
            pause: Duration::ZERO,
        };
        self.open().rotate(&rotation, |_| {}).await
    }

    /// The secret's value.
    pub(crate) fn secret(&self) -> Value {
        self.secrets.current(SIGNING).unwrap()
    }

    /// The ids of all subscriptions, oldest first.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.rail.subscriptions().into_iter().map(|it| it.id).collect()
    }

    /// No type without a subscription or with two, no subscription without its key, no key too many, somebody's key untouched.
    #[track_caller]
    pub(crate) fn check_in_step(&self, what: &str) {
        let mut types: Vec<String> = self.rail.subscriptions().into_iter().map(|it| it.event_type).collect();
        types.sort();
        assert_eq!(types, self.required.iter().cloned().collect::<Vec<_>>(), "{what}: one subscription for each type");
        let mut expected = json!({ "somebody's": "whsec_sample_of_somebody" });
        for it in self.rail.subscriptions() {
            assert_eq!(it.callback_url, URL, "{what}");
            expected[&it.id] = json!(it.key);
        }
        assert_eq!(self.secret()["keys"], expected, "{what}: each one's key, and nothing else");
    }
}
