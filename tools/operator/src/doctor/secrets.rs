//! What is wrong inside a secret, by field and never by value: what the bridge's own parsers reject, and what they accept and
//! still looks wrong.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde_json::{Map, Value};
use shared::config::DEFAULT_MAX_BODY_BYTES;
use shared::customer::api_client::ApiAccount;
use shared::deliver::webhooks::Webhooks;
use shared::outside::http::is_safe_url;
use shared::outside::secrets::{Problem, printable_name, without_byte_order_mark};
use shared::receive::signing_keys::{KeySet, MAX_KEYS};
use shared::receive::verification::longest_in_every_form;

use super::facts::{RouteNeeds, Scope, Secret};
use super::line::{Line, Verdict, requires};
use crate::cloudformation::capitalized;
use crate::copied_key::{SAMPLE_MARK, Slip, slips};
use crate::words::counted;

/// What a field holds, as far as it can look wrong.
#[derive(Clone, Copy)]
enum Content {
    Key,
    Url,
    Other,
}

/// The fields of an object, by name.
type Fields = &'static [(&'static str, Content)];

const KEYS: Fields = &[("keys", Content::Other)];
/// `bridge rail subscriptions` remembers beside the keys where they come from.
const RAIL_KEYS: Fields =
    &[("keys", Content::Other), ("subscriptions", Content::Other), ("generations", Content::Other)];
const WEBHOOKS: Fields = &[("workflows", Content::Other), ("incoming_webhooks", Content::Other)];
const WORKFLOW: Fields = &[
    ("handshake_url", Content::Url),
    ("webhook_url", Content::Url),
    ("api_key", Content::Key),
    ("api_key_header", Content::Other),
    ("mode", Content::Other),
];
const INCOMING_WEBHOOK: Fields = &[("url", Content::Url), ("api_key", Content::Key), ("encryption", Content::Other)];
const ENCRYPTION: Fields = &[("mode", Content::Other), ("key", Content::Key), ("body", Content::Other)];
const API: Fields = &[
    ("base_url", Content::Url),
    ("token_url", Content::Url),
    ("client_id", Content::Other),
    ("client_secret", Content::Key),
];

/// All keys of providers and all API keys of Returning.AI are longer.
const SHORTEST_KEY: usize = 16;

/// What is wrong with one field.
struct Finding {
    verdict: Verdict,
    field: String,
    says: String,
}

/// A secret of signing keys: `{"keys": {"<label>": "<key>"}}`.
pub(super) fn check_signing(scope: &Scope, needs: &RouteNeeds, provider: &str, secret: &Secret) -> Vec<Line> {
    let name = format!("signing keys of {provider}");
    check(scope, &name, secret, |text, whole| {
        let problems = KeySet::problems(text);
        let keys = KeySet::parse(text).map_or(0, |keys| keys.tried_in_all());
        let mut findings = inspect(scope, "", whole, if provider == "rail" { RAIL_KEYS } else { KEYS });
        for (label, key) in entries(whole, "keys") {
            findings.extend(inspect_key(scope, &format!("keys.{}", printable_name(label)), key));
        }
        if keys > MAX_KEYS {
            let says = format!("{keys} keys; the CPU time of a forged delivery is limited only up to {MAX_KEYS} keys");
            findings.push(Finding { verdict: Verdict::Warn, field: "keys".to_owned(), says });
        }
        // A provider that no route names may have no keys.
        let placeholder = if needs.providers.contains(provider) { Verdict::Fail } else { Verdict::Warn };
        let mut ok = format!("{} in {}", counted(entries(whole, "keys").count(), "key"), secret.id);
        let forms = providers::by_name(provider).map_or(1, |provider| provider.forms.len());
        let longest = longest_in_every_form(forms, keys);
        if longest < DEFAULT_MAX_BODY_BYTES {
            ok += &format!("; with this many keys, a body above {longest} bytes is not checked in every signed form");
        }
        lines(scope, &name, secret, merge(findings, problems, placeholder), ok)
    })
}

/// Returning.AI's secret: the fields of each workflow and incoming webhook, and whether it has those that routes name.
pub(super) fn check_returning_ai(scope: &Scope, needs: &RouteNeeds, secret: &Secret) -> Vec<Line> {
    check(scope, "workflows", secret, |text, whole| {
        let (_, problems) = Webhooks::parse(text);
        let mut findings = inspect(scope, "", whole, WEBHOOKS);
        for (kind, fields) in [("workflows", WORKFLOW), ("incoming_webhooks", INCOMING_WEBHOOK)] {
            for (name, entry) in entries(whole, kind).filter_map(|(name, entry)| Some((name, entry.as_object()?))) {
                let path = format!("{kind}.{}.", printable_name(name));
                findings.extend(inspect(scope, &path, entry, fields));
                if let Some(encryption) = entry.get("encryption").and_then(Value::as_object) {
                    findings.extend(inspect_encryption(scope, &format!("{path}encryption."), encryption));
                }
            }
        }
        let ok = format!("{} in {}", counted(entries(whole, "workflows").count(), "workflow"), secret.id);
        let mut lines = lines(scope, "workflows", secret, merge(findings, problems, Verdict::Fail), ok);
        // Text that is no object has one problem, which is reported.
        if serde_json::from_str::<Map<String, Value>>(text).is_ok() {
            lines.extend(compare(scope, "workflow", secret, &needs.workflows, entries(whole, "workflows")));
            let webhooks = entries(whole, "incoming_webhooks");
            lines.extend(compare(scope, "incoming webhook", secret, &needs.incoming_webhooks, webhooks));
        }
        lines
    })
}

/// The secret of a provider's API, for routes that ask it.
pub(super) fn check_api(scope: &Scope, provider: &str, secret: &Secret) -> Vec<Line> {
    let name = format!("{}'s API", capitalized(provider));
    check(scope, &name, secret, |text, whole| {
        let (_, problems) = ApiAccount::parse(text);
        let findings = merge(inspect(scope, "", whole, API), problems, Verdict::Fail);
        lines(scope, &name, secret, findings, format!("{} is complete", secret.id))
    })
}

/// Judges the text of a secret and the object in it, or says why there is no text.
fn check(
    scope: &Scope,
    name: &str,
    secret: &Secret,
    judge: impl FnOnce(&str, &Map<String, Value>) -> Vec<Line>,
) -> Vec<Line> {
    let reason = match &secret.text {
        Ok(text) => {
            let text = without_byte_order_mark(text);
            return judge(text, &serde_json::from_str(text).unwrap_or_default());
        }
        Err(reason) => reason,
    };
    let hint = match (reason.as_str(), scope.is_deployed()) {
        (_, false) => "Check that `bridge dev` is running: it holds the secrets".to_owned(),
        ("AccessDeniedException", _) => {
            let hint = requires(&["secretsmanager:GetSecretValue"], &format!("secret `{}`", secret.id));
            format!("{hint}, and `kms:Decrypt` on a key of your own")
        }
        ("ResourceNotFoundException", _) => {
            "It does not exist or has no value: deploy the stack again, then put a value".to_owned()
        }
        _ => "Try again, and check that AWS is reachable".to_owned(),
    };
    vec![Line::fail(name, format!("{} cannot be read: {reason}", secret.id), hint)]
}

fn entries<'v>(whole: &'v Map<String, Value>, field: &str) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
    whole.get(field).and_then(Value::as_object).into_iter().flatten()
}

/// What looks wrong in an object: unknown fields, URLs without encryption, and keys that were not copied exactly.
fn inspect(scope: &Scope, path: &str, object: &Map<String, Value>, fields: Fields) -> Vec<Finding> {
    let known = || fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let findings = object.iter().flat_map(|(name, value)| {
        let field = format!("{path}{}", printable_name(name));
        match fields.iter().find(|(known, _)| known == name).map(|(_, content)| content) {
            None => vec![Finding { verdict: Verdict::Warn, field, says: format!("unknown; known are {}", known()) }],
            Some(Content::Key) => inspect_key(scope, &field, value),
            Some(Content::Url) => inspect_url(scope, field, value).into_iter().collect(),
            Some(Content::Other) => Vec::new(),
        }
    });
    findings.collect()
}

/// The layout that counts without a `body` is a guess, since Returning.AI's sample is not public.
fn inspect_encryption(scope: &Scope, path: &str, encryption: &Map<String, Value>) -> Vec<Finding> {
    let mut findings = inspect(scope, path, encryption, ENCRYPTION);
    if encryption.get("body").is_none_or(Value::is_null) {
        let says =
            "absent, and the default layout is a guess: send one message, and look under Histories in Returning.AI";
        findings.push(Finding { verdict: Verdict::Warn, field: format!("{path}body"), says: says.to_owned() });
    }
    findings
}

/// Deployed functions may not send even to their own machine without encryption, though the parser accepts it.
fn inspect_url(scope: &Scope, field: String, value: &Value) -> Option<Finding> {
    let url = Url::parse(value.as_str()?).ok()?;
    let is_safe = if scope.is_deployed() { url.scheme() == "https" } else { is_safe_url(&url) };
    let says = "not https: keys and customer data would travel unencrypted".to_owned();
    (!is_safe).then_some(Finding { verdict: Verdict::Fail, field, says })
}

/// The signs of a key that was not copied exactly. Nothing of the key is in them.
fn inspect_key(scope: &Scope, field: &str, value: &Value) -> Vec<Finding> {
    let Some(key) = value.as_str().filter(|key| !key.is_empty()) else {
        return Vec::new();
    };
    let slips = slips(key)
        .into_iter()
        .map(|Slip { kind, .. }| (true, if kind.is_sure() { Verdict::Fail } else { Verdict::Warn }, kind.says()));
    let bare = key.trim();
    let is_text = |bytes: Vec<u8>| bytes.len() >= 12 && bytes.trim_ascii().iter().all(u8::is_ascii_graphic);
    let signs = [
        (bare.len() < SHORTEST_KEY, Verdict::Warn, "has fewer than 16 characters"),
        (
            STANDARD.decode(bare).is_ok_and(is_text),
            Verdict::Warn,
            "looks like base64 of a key; the key itself is expected",
        ),
        (
            scope.is_deployed() && key.contains(SAMPLE_MARK),
            Verdict::Fail,
            "is a sample key of this repository, which is public",
        ),
    ];
    let found = slips.chain(signs).filter(|(holds, ..)| *holds);
    found.map(|(_, verdict, says)| Finding { verdict, field: field.to_owned(), says: says.to_owned() }).collect()
}

/// One or the other of a field: a finding that fails says more than what the parser expects, and that more than a warning.
fn merge(mut findings: Vec<Finding>, problems: Vec<Problem>, placeholder: Verdict) -> Vec<Finding> {
    for problem in problems {
        let verdict = if problem.is_placeholder() { placeholder } else { Verdict::Fail };
        let Problem { field, expected } = problem;
        if !findings.iter().any(|it| it.field == field && it.verdict == Verdict::Fail) {
            findings.retain(|it| it.field != field);
            findings.push(Finding { verdict, field, says: format!("{expected} expected") });
        }
    }
    findings
}

/// A line for each finding, or one line that says `ok`.
fn lines(scope: &Scope, name: &str, secret: &Secret, findings: Vec<Finding>, ok: String) -> Vec<Line> {
    if findings.is_empty() {
        return vec![Line::ok(name, ok)];
    }
    let line = |Finding { verdict, field, says }| Line {
        verdict,
        check: name.to_owned(),
        says: format!("{}: {field}: {says}", secret.id),
        hint: Some(put(scope, secret)),
    };
    findings.into_iter().map(line).collect()
}

/// What routes name and the secret lacks, and the other way round.
fn compare<'v>(
    scope: &Scope,
    kind: &str,
    secret: &Secret,
    needed: &BTreeSet<String>,
    entries: impl Iterator<Item = (&'v String, &'v Value)>,
) -> Vec<Line> {
    let stored: BTreeSet<String> = entries.map(|(name, _)| name.clone()).collect();
    let missing = needed.difference(&stored).map(|name| {
        let says = format!("`routes.toml` delivers to it, and {} does not have it", secret.id);
        Line::fail(format!("{kind} {name}"), says, format!("Its events wait until it is there: {}", put(scope, secret)))
    });
    let unused = stored.difference(needed).map(|name| {
        let says = format!("{} has it, and no route of `routes.toml` delivers to it", secret.id);
        let hint = "Check its name. If it is right, remove it, or pass the deployed file with `--routes`";
        Line::warn(format!("{kind} {name}"), says, hint)
    });
    missing.chain(unused).collect()
}

fn put(scope: &Scope, secret: &Secret) -> String {
    match scope.is_deployed() {
        true => format!(
            "`aws secretsmanager put-secret-value --secret-id {} --secret-string file://secret.json{}`",
            secret.id, scope.flags
        ),
        false => "Start `bridge dev` again: it creates its own secrets, or reads those of `--secrets` again".to_owned(),
    }
}
