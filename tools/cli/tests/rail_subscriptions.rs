//! `bridge rail subscriptions`, the program itself, against stand-ins of Rail's API and of Secrets Manager.
#![expect(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use local::faults::When;
use local::rail_api::{At, Fault, RailApi, SAMPLE_CLIENT_SECRET};
use local::secrets_manager::SecretsManager;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

const URL: &str = "https://example.com/webhooks/rail";
const SIGNING: &str = "sample/rail/signing";
const API: &str = "sample/rail/api";

struct World {
    rail: RailApi,
    secrets: SecretsManager,
    folder: TempDir,
    /// All that was ever printed.
    printed: String,
}

/// What a run came to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl World {
    fn needing(types: &[&str]) -> Self {
        let (rail, secrets) = (RailApi::start().unwrap(), SecretsManager::start(None).unwrap());
        secrets.put(API, &rail.secret()).unwrap();
        secrets.put(SIGNING, &json!({ "keys": { "subscription-id": "REPLACE-ME" } })).unwrap();
        let world = Self { rail, secrets, folder: TempDir::new().unwrap(), printed: String::new() };
        world.need(types);
        world
    }

    fn need(&self, types: &[&str]) {
        let routes = format!(
            "[[route]]\nname = \"all\"\nprovider = \"rail\"\nevents = {types:?}\nworkflow = \"w\"\nevent_type = \"e\"\ncustomer = \"/c\"\n"
        );
        std::fs::write(self.folder.path().join("routes.toml"), routes).unwrap();
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
        command.args(["rail", "subscriptions"]).args(verb);
        command.args(["--signing-secret", SIGNING, "--api-secret", API, "--region", "us-east-1", "--routes"]);
        command.arg(self.folder.path().join("routes.toml"));
        command.env("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.url());
        command.envs([("AWS_ACCESS_KEY_ID", "sample"), ("AWS_SECRET_ACCESS_KEY", "sample")]);
        command.env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null());
        command
    }

    async fn run(&mut self, verb: &[&str]) -> Ran {
        let mut command = self.command(verb);
        let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
        self.printed += &format!("{}{}", ran.out, ran.err);
        ran
    }

    /// A verb that is for one URL.
    async fn run_for_url(&mut self, verb: &[&str]) -> Ran {
        self.run(&[verb, &["--callback-url", URL]].concat()).await
    }

    fn ids(&self) -> Vec<String> {
        self.rail.subscriptions().into_iter().map(|it| it.id).collect()
    }
}

impl Ran {
    #[track_caller]
    fn ended(&self, code: i32, error: &str) {
        assert_eq!((self.code, self.err.lines().next().unwrap_or_default()), (code, error), "{}", self.out);
        assert_eq!(self.err.contains("hint: "), code != 0, "{}", self.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_in_step_and_on_to_the_next_keys() {
    let mut world = World::needing(&["ACCOUNT_OPEN", "DEPOSIT_COMPLETED"]);
    let dry = world.run_for_url(&["sync", "--dry-run"]).await;
    dry.ended(0, "");
    let expected = format!(
        "Subscriptions for {URL}, keys in secret {SIGNING} in us-east-1:\n  \
         create    ACCOUNT_OPEN\n  \
         create    DEPOSIT_COMPLETED (only Rail's guide names it)\n"
    );
    assert_eq!(dry.out, expected);
    world
        .run_for_url(&["sync"])
        .await
        .ended(2, "error: Cannot ask for confirmation: not a terminal. Nothing was changed.");
    assert_eq!(world.ids(), [] as [String; 0]);

    world.run_for_url(&["sync", "--yes"]).await.ended(0, "");
    let ids = world.ids();
    let keys: Vec<_> = world.rail.subscriptions().into_iter().map(|it| (it.id, json!(it.key))).collect();
    assert_eq!(world.secrets.current(SIGNING).unwrap()["keys"], Value::Object(keys.into_iter().collect()));

    let by_hand = world.rail.add_subscription("CUSTOMER_ACTIVE", "https://hunter2:hunter2@example.com/?hunter2");
    let list = world.run_for_url(&["list"]).await;
    list.ended(0, "");
    let expected = format!(
        "\
STATE      EVENT TYPE         SUBSCRIPTION          KEY   DELIVERS TO
in sync    ACCOUNT_OPEN       {}  held  {URL}
other URL  CUSTOMER_ACTIVE    {}  -     https://example.com/ (and more)
in sync    DEPOSIT_COMPLETED  {}  held  {URL}

2 in sync, 1 other URL
",
        ids[0], by_hand.id, ids[1]
    );
    assert_eq!(list.out, expected);
    let json = world.run_for_url(&["list", "--json"]).await;
    let first: Value = serde_json::from_str(json.out.lines().next().unwrap()).unwrap();
    let expected = json!({
        "state": "in_step", "event_type": "ACCOUNT_OPEN", "subscription": ids[0], "callback_url": URL, "has_key": true,
    });
    assert_eq!((json.out.lines().count(), first), (3, expected));

    let dry = world.run_for_url(&["rotate", "--dry-run"]).await;
    dry.ended(0, "");
    assert!(dry.out.contains("  rotate    ACCOUNT_OPEN, DEPOSIT_COMPLETED\n"), "{}", dry.out);
    world
        .run_for_url(&["rotate"])
        .await
        .ended(2, "error: Cannot ask for confirmation: not a terminal. Nothing was changed.");
    assert_eq!(world.rail.subscriptions().len(), 3);
    let mut rotating = world.command(&["rotate", "--event", "ACCOUNT_OPEN", "--yes", "--callback-url", URL]);
    let told = spawn_blocking(move || {
        let mut rotating = rotating.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(rotating.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut told = Vec::new();
        while !told.last().is_some_and(|line: &String| line.starts_with("waiting")) {
            told.push(lines.next().unwrap());
        }
        rotating.kill().unwrap();
        rotating.wait().unwrap();
        told.join("\n")
    });
    world.printed += &told.await.unwrap();
    let list = world.run_for_url(&["list"]).await;
    assert!(
        list.out.ends_with(
            "2 in sync, 1 being rotated, 1 other URL\n\
         `bridge rail subscriptions rotate` finishes the current rotation and leaves one subscription for each type\n"
        ),
        "{}",
        list.out
    );
    let dry = world.run_for_url(&["rotate", "--dry-run"]).await;
    assert!(dry.out.contains("  continue  ACCOUNT_OPEN\n"), "{}", dry.out);

    world
        .run(&["delete", &ids[0]])
        .await
        .ended(2, "error: Cannot ask for confirmation: not a terminal. Nothing was changed.");
    let deleted = world.run(&["delete", &ids[0], "--yes"]).await;
    deleted.ended(0, "");
    assert!(deleted.out.ends_with(&format!("{} is deleted at Rail; its key is removed.\n", ids[0])), "{}", deleted.out);
    world.run(&["delete", &ids[0], "--yes"]).await.ended(3, &format!("error: No subscription `{}`", ids[0]));

    world.need(&["ACCOUNT_OPEN"]);
    let sync = world.run_for_url(&["sync", "--yes"]).await;
    assert!(sync.out.ends_with("Kept: 1 subscription that no route needs. `--prune` deletes them.\n"), "{}", sync.out);
    let sync = world.run_for_url(&["sync", "--prune", "--yes"]).await;
    assert!(sync.out.contains(&format!("delete    DEPOSIT_COMPLETED  {}: no route needs it", ids[1])), "{}", sync.out);
    sync.ended(0, "");
    no_secret_in(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_with_what_helps() {
    let mut world = World::needing(&["ACCOUNT_OPEN", "NO_SUCH_TYPE", "REFUND_*"]);
    let refused = world.run_for_url(&["sync", "--yes"]).await;
    let note = "note: no documented event type of Rail matches `REFUND_*`; name exact types to subscribe to them";
    refused.ended(3, note);
    let error =
        "error: Rail rejects 1 event type: NO_SUCH_TYPE (400 INVALID_EVENT_TYPE; not named in Rail's documentation)";
    assert!(refused.err.contains(error), "{}", refused.err);
    assert!(refused.out.contains("created   ACCOUNT_OPEN"), "{}", refused.out);

    world.need(&["ACCOUNT_OPEN", "ACCOUNT_CLOSED"]);
    let after = Fault::RetryAfter { status: 429, after: "3600".to_owned() };
    for (at, fault, code, error) in [
        (
            At::ListSubscriptions,
            Fault::Status(401),
            4,
            "Cannot list Rail's subscriptions: Rail does not accept the access token that it has just issued (401)",
        ),
        (
            At::ListSubscriptions,
            Fault::Status(404),
            2,
            "Cannot list Rail's subscriptions: this address does not exist (404)",
        ),
        (At::ListSubscriptions, after, 4, "Cannot list Rail's subscriptions: too many requests (429)"),
        (
            At::ListSubscriptions,
            Fault::Status(422),
            4,
            "Cannot list Rail's subscriptions: Rail rejected the request (422 INJECTED)",
        ),
        (
            At::ListSubscriptions,
            Fault::GarbageBody,
            4,
            "Cannot list Rail's subscriptions: Rail's answer does not have the documented form",
        ),
        (
            At::CreateSubscription,
            Fault::Status(403),
            4,
            "Cannot create the subscription for `ACCOUNT_CLOSED`: Rail forbids it (403)",
        ),
        (
            At::CreateSubscription,
            Fault::GarbageBody,
            4,
            "Cannot create the subscription for `ACCOUNT_CLOSED`: Rail's answer does not have the documented form",
        ),
    ] {
        world.rail.inject(Some(at), fault, When::UntilCleared);
        world.run_for_url(&["sync", "--yes"]).await.ended(code, &format!("error: {error}"));
        world.rail.clear_faults();
    }
    world.rail.inject(Some(At::DeleteSubscription), Fault::Status(403), When::UntilCleared);
    let id = world.ids()[0].clone();
    let error = format!("error: Cannot delete subscription `{id}`: Rail forbids it (403)");
    world.run(&["delete", &id, "--yes"]).await.ended(4, &error);
    world.rail.clear_faults();

    world.rail.set_scopes(&["accounts:read"]);
    let error = "error: Cannot list Rail's subscriptions: Rail does not grant this client the required scopes";
    let scopes = world.run_for_url(&["list"]).await;
    scopes.ended(4, error);
    assert!(
        scopes.err.contains("hint: ask Rail to give this client the scopes subscriptions:read and subscriptions:write")
    );
    world.rail.set_client_secret("another");
    let error =
        "error: Cannot list Rail's subscriptions: Rail does not accept the client id and client secret (status 401)";
    world.run_for_url(&["list"]).await.ended(4, error);

    for (verb, error) in [
        (vec!["list"], "error: Missing `--callback-url`"),
        (
            vec!["list", "--callback-url", "http://example.com/"],
            "error: invalid value 'http://example.com/' for '--callback-url <URL>': callback URL: an https URL, or an http one on this machine expected",
        ),
        (
            vec!["rotate", "--after", "1s"],
            "error: invalid value '1s' for '--after <SPAN>': at least 15 s: a function that has just read the secret does not read it sooner",
        ),
        (
            vec!["rotate", "--event", "CUSTOMER_ACTIVE", "--callback-url", URL],
            "error: No route needs `CUSTOMER_ACTIVE`",
        ),
    ] {
        let ran = world.run(&verb).await;
        assert_eq!((ran.code, ran.err.lines().next()), (2, Some(error)), "{verb:?}");
    }
    world
        .secrets
        .put(API, &json!({ "base_url": "hunter2", "client_id": "hunter2", "client_secret": "hunter2" }))
        .unwrap();
    let error = format!("error: secret `{API}`: base_url: an https URL, or an http one on this machine expected");
    world.run_for_url(&["list"]).await.ended(2, &error);
    world.secrets.remove(API).unwrap();
    let error = format!("error: secret `{API}` cannot be read: ResourceNotFoundException");
    world.run_for_url(&["list"]).await.ended(2, &error);
    no_secret_in(&world);
}

/// Keys, tokens and the client's secret are marked.
#[track_caller]
fn no_secret_in(world: &World) {
    assert!(world.printed.len() > 1_000 && world.printed.contains("ACCOUNT_OPEN"));
    for secret in ["whsec_", "rail_sample_token", SAMPLE_CLIENT_SECRET, "hunter2", "Bearer", "Basic "] {
        assert!(!world.printed.contains(secret), "{secret} in {}", world.printed);
    }
}
