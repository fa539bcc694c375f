//! What is wrong inside a secret: told by field, never by value.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde_json::{Map, Value};
use shared::outside::secrets::PLACEHOLDER;

use super::checks::{Line, Verdict};
use super::facts::{Place, Secret, Wanted};
use crate::cloudformation::capitalized;

/// Keys of providers and API keys of Returning.AI are all longer.
const SHORTEST_KEY: usize = 16;

/// What every sample key of this repository ends in.
const SAMPLE_MARK: &str = "_do_not_use";

/// A secret of signing keys: `{"keys": {"<label>": "<key>"}}`.
pub(super) fn signing(place: &Place, wanted: &Wanted, secret: &Secret) -> Vec<Line> {
    let name = format!("signing keys of {}", secret.of);
    let object = match object(place, &name, secret) {
        Ok(object) => object,
        Err(line) => return vec![line],
    };
    let mut doubts = Doubts::new(place);
    let known: &[&str] = match secret.of {
        // Beside the keys `bridge rail subscriptions` notes where they come from.
        "rail" => &["keys", "subscriptions", "generations"],
        _ => &["keys"],
    };
    doubts.unknown_fields("", &object, known);
    let keys = object.get("keys").and_then(Value::as_object).filter(|keys| !keys.is_empty());
    match keys {
        None => doubts.fail("keys", "an object of at least one label and key expected"),
        Some(keys) => {
            for (label, key) in keys {
                doubts.key(&format!("keys.{}", shown(label)), Some(key));
            }
        }
    }
    // A provider that no route names may be left without keys.
    if !wanted.providers.contains(secret.of) {
        doubts.soften_placeholders();
    }
    let count = keys.map_or(0, Map::len);
    doubts.lines(&name, secret, format!("{count} {} in {}", if count == 1 { "key" } else { "keys" }, secret.id))
}

/// Returning.AI's secret: fields of every workflow and incoming webhook, and whether it has those that routes name.
pub(super) fn returning_ai(place: &Place, wanted: &Wanted, secret: &Secret) -> Vec<Line> {
    let name = "workflows".to_owned();
    let object = match object(place, &name, secret) {
        Ok(object) => object,
        Err(line) => return vec![line],
    };
    let mut doubts = Doubts::new(place);
    doubts.unknown_fields("", &object, &["workflows", "incoming_webhooks"]);
    let empty = Map::new();
    let part = |doubts: &mut Doubts, field: &str| match object.get(field) {
        None if field == "incoming_webhooks" => empty.clone(),
        Some(Value::Object(entries)) => entries.clone(),
        _ => {
            doubts.fail(field, "an object of name and fields expected");
            empty.clone()
        }
    };
    let workflows = part(&mut doubts, "workflows");
    let webhooks = part(&mut doubts, "incoming_webhooks");

    for (workflow, fields) in &workflows {
        let at = |field: &str| format!("workflows.{workflow}.{field}");
        let Some(fields) = fields.as_object() else {
            doubts.fail(&format!("workflows.{workflow}"), "an object expected");
            continue;
        };
        let known = ["handshake_url", "webhook_url", "api_key", "api_key_header", "mode"];
        doubts.unknown_fields(&format!("workflows.{workflow}."), fields, &known);
        doubts.one_of(&at("mode"), fields.get("mode"), ["session", "legacy"]);
        doubts.one_of(&at("api_key_header"), fields.get("api_key_header"), ["authorization", "x-api-key"]);
        if fields.get("mode").and_then(Value::as_str) != Some("legacy") {
            doubts.url(&at("handshake_url"), fields.get("handshake_url"));
        }
        doubts.url(&at("webhook_url"), fields.get("webhook_url"));
        doubts.key(&at("api_key"), fields.get("api_key"));
    }
    for (webhook, fields) in &webhooks {
        let at = |field: &str| format!("incoming_webhooks.{webhook}.{field}");
        let Some(fields) = fields.as_object() else {
            doubts.fail(&format!("incoming_webhooks.{webhook}"), "an object expected");
            continue;
        };
        doubts.unknown_fields(&format!("incoming_webhooks.{webhook}."), fields, &["url", "api_key", "encryption"]);
        doubts.url(&at("url"), fields.get("url"));
        if let Some(key) = fields.get("api_key").filter(|key| !key.is_null()) {
            doubts.key(&at("api_key"), Some(key));
        }
        if fields.get("encryption").is_some_and(|encryption| !encryption.is_null()) {
            let problem =
                "encrypted incoming webhooks are not built; switch encryption off in Returning.AI, and remove this";
            doubts.fail(&at("encryption"), problem);
        }
    }
    let says = format!("{} in {}, as they should be written", counted(workflows.len(), "workflow"), secret.id);
    let mut lines = doubts.lines(&name, secret, says);
    lines.extend(named(place, "workflow", secret, &wanted.workflows, &workflows));
    lines.extend(named(place, "incoming webhook", secret, &wanted.incoming_webhooks, &webhooks));
    lines
}

/// The secret of a provider's API, for routes that ask it.
pub(super) fn provider_api(place: &Place, secret: &Secret) -> Vec<Line> {
    let name = format!("{}'s API", capitalized(secret.of));
    let object = match object(place, &name, secret) {
        Ok(object) => object,
        Err(line) => return vec![line],
    };
    let mut doubts = Doubts::new(place);
    doubts.unknown_fields("", &object, &["base_url", "token_url", "client_id", "client_secret"]);
    doubts.url("base_url", object.get("base_url"));
    doubts.url("token_url", object.get("token_url"));
    // An id may be short: whatever the provider has given.
    match object.get("client_id").and_then(Value::as_str) {
        Some(id) if !id.is_empty() && !id.starts_with(PLACEHOLDER) => {}
        Some(id) if id.starts_with(PLACEHOLDER) => doubts.placeholder("client_id"),
        _ => doubts.fail("client_id", "a string that is not empty expected"),
    }
    doubts.key("client_secret", object.get("client_secret"));
    doubts.lines(&name, secret, format!("{} is as it should be written", secret.id))
}

/// What a key looks like that was not copied as it is. Nothing of the key is in it.
pub(super) fn doubts_about_key(key: &str, is_deployed: bool) -> Vec<(Verdict, &'static str)> {
    let mut doubts = Vec::new();
    let mut with = |holds: bool, verdict, problem| {
        if holds {
            doubts.push((verdict, problem));
        }
    };
    let ends_in_newline = key.ends_with(['\n', '\r']);
    let bare = key.trim();
    let quoted = |mark: char| bare.len() > 1 && bare.starts_with(mark) && bare.ends_with(mark);
    let is_text = |bytes: Vec<u8>| bytes.len() >= 12 && bytes.trim_ascii().iter().all(u8::is_ascii_graphic);
    with(ends_in_newline, Verdict::Fail, "ends in a newline, which is taken for a part of the key");
    with(
        !ends_in_newline && bare != key,
        Verdict::Fail,
        "has white space around it, which is taken for a part of the key",
    );
    with(quoted('"') || quoted('\''), Verdict::Fail, "stands in quotes, which are taken for a part of the key");
    with(bare.contains(char::is_whitespace), Verdict::Warn, "has white space in it");
    with(bare.len() < SHORTEST_KEY, Verdict::Warn, "has fewer than 16 characters");
    with(
        STANDARD.decode(bare).is_ok_and(is_text),
        Verdict::Warn,
        "looks like base64 of a key; the key itself is wanted",
    );
    with(is_deployed && key.contains(SAMPLE_MARK), Verdict::Fail, "is a sample key, which everybody knows");
    doubts
}

/// The text of a secret as an object, or the line that says why not.
fn object(place: &Place, name: &str, secret: &Secret) -> Result<Map<String, Value>, Line> {
    let text = secret.text.as_ref().map_err(|reason| {
        let hint = match (reason.as_str(), place.is_deployed()) {
            (_, false) => "is `bridge dev` still up? Start it anew".to_owned(),
            ("AccessDeniedException", _) => {
                "you may not read it: it takes secretsmanager:GetSecretValue (and kms:Decrypt with a key of your own)"
                    .to_owned()
            }
            ("ResourceNotFoundException", _) => {
                "it is gone, or never had a value: deploy the stack again, then put one in".to_owned()
            }
            _ => "try again; is AWS within reach?".to_owned(),
        };
        Line::fail(name, format!("secret {} cannot be read: {reason}", secret.id), hint)
    })?;
    if text.trim_matches('"').starts_with(PLACEHOLDER) {
        return Err(Line::fail(
            name,
            format!("{} holds the placeholder it was made with", secret.id),
            put(place, secret),
        ));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Line::fail(name, format!("{} is not a JSON object", secret.id), put(place, secret))),
    }
}

/// What routes name and the secret lacks, and the other way round.
fn named(
    place: &Place,
    kind: &str,
    secret: &Secret,
    wanted: &BTreeSet<String>,
    held: &Map<String, Value>,
) -> Vec<Line> {
    let missing = wanted.iter().filter(|name| !held.contains_key(*name)).map(|name| {
        let says = format!("routes.toml delivers to it, and {} does not have it", secret.id);
        Line::fail(format!("{kind} {name}"), says, format!("its events wait until it is there: {}", put(place, secret)))
    });
    let surplus = held.keys().filter(|name| !wanted.contains(*name)).map(|name| {
        let says = format!("{} has it, and no route of routes.toml delivers to it", secret.id);
        Line::warn(
            format!("{kind} {name}"),
            says,
            "a slip in a name? Else remove it, or name the deployed file with --routes",
        )
    });
    missing.chain(surplus).collect()
}

fn put(place: &Place, secret: &Secret) -> String {
    match place.is_deployed() {
        true => format!(
            "aws secretsmanager put-secret-value --secret-id {} --secret-string file://secret.json{}",
            secret.id, place.flags
        ),
        false => "start `bridge dev` anew: it makes its own secrets".to_owned(),
    }
}

/// A name within a secret; not where somebody has put a key in its place.
fn shown(name: &str) -> &str {
    if name.starts_with("whsec_") || name.len() > 64 { "(a name that looks like a key)" } else { name }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Doubts about the fields of one secret.
struct Doubts<'p> {
    place: &'p Place,
    found: Vec<Doubt>,
}

struct Doubt {
    verdict: Verdict,
    field: String,
    problem: String,
    is_placeholder: bool,
}

impl<'p> Doubts<'p> {
    fn new(place: &'p Place) -> Self {
        Self { place, found: Vec::new() }
    }

    fn add(&mut self, verdict: Verdict, field: &str, problem: &str) {
        self.found.push(Doubt { verdict, field: field.to_owned(), problem: problem.to_owned(), is_placeholder: false });
    }

    fn fail(&mut self, field: &str, problem: &str) {
        self.add(Verdict::Fail, field, problem);
    }

    fn placeholder(&mut self, field: &str) {
        self.fail(field, "still holds the placeholder it was made with");
        self.found.iter_mut().rev().take(1).for_each(|doubt| doubt.is_placeholder = true);
    }

    fn soften_placeholders(&mut self) {
        for doubt in self.found.iter_mut().filter(|doubt| doubt.is_placeholder) {
            doubt.verdict = Verdict::Warn;
        }
    }

    fn unknown_fields(&mut self, before: &str, object: &Map<String, Value>, known: &[&str]) {
        for field in object.keys().filter(|field| !known.contains(&field.as_str())) {
            self.add(
                Verdict::Warn,
                &format!("{before}{}", shown(field)),
                &format!("is not known here; known are {}", known.join(", ")),
            );
        }
    }

    fn one_of(&mut self, field: &str, value: Option<&Value>, accepted: [&str; 2]) {
        let value = value.filter(|value| !value.is_null());
        if value.is_some_and(|value| !accepted.iter().any(|word| value == *word)) {
            self.fail(field, &format!("\"{}\" or \"{}\" expected", accepted[0], accepted[1]));
        }
    }

    fn url(&mut self, field: &str, value: Option<&Value>) {
        let Some(text) = value.and_then(Value::as_str).filter(|text| !text.is_empty()) else {
            return self.fail(field, "an https URL expected");
        };
        if text.starts_with(PLACEHOLDER) {
            return self.placeholder(field);
        }
        match Url::parse(text) {
            Err(_) => self.fail(field, "an https URL expected"),
            Ok(url) if url.scheme() == "https" => {}
            Ok(url) if url.scheme() == "http" && !self.place.is_deployed() && is_loopback(&url) => {}
            Ok(_) => self.fail(field, "is not https: keys and customers' facts would travel in the clear"),
        }
    }

    fn key(&mut self, field: &str, value: Option<&Value>) {
        let Some(key) = value.and_then(Value::as_str).filter(|key| !key.is_empty()) else {
            return self.fail(field, "a string that is not empty expected");
        };
        if key.starts_with(PLACEHOLDER) {
            return self.placeholder(field);
        }
        for (verdict, problem) in doubts_about_key(key, self.place.is_deployed()) {
            self.add(verdict, field, problem);
        }
    }

    /// A line for each doubt, or the one that says that there is none.
    fn lines(self, name: &str, secret: &Secret, sound: String) -> Vec<Line> {
        if self.found.is_empty() {
            return vec![Line::ok(name, sound)];
        }
        let hint = put(self.place, secret);
        let line = |doubt: Doubt| Line {
            verdict: doubt.verdict,
            check: name.to_owned(),
            says: format!("{}: {} {}", secret.id, doubt.field, doubt.problem),
            hint: Some(hint.clone()),
        };
        self.found.into_iter().map(line).collect()
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
