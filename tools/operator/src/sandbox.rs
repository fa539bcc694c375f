//! The file of `bridge dev --secrets`: the secrets that the bridge has in the sandboxes of the providers and of Returning.AI.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Map, Value, json};
use shared::customer::api_client::ApiAccount;
use shared::deliver::webhooks::Webhooks;
use shared::outside::secrets::{PLACEHOLDER, printable_name, without_byte_order_mark};
use shared::receive::signing_keys::KeySet;

use crate::OperatorError;
use crate::copied_key::SAMPLE_MARK;

/// One of the bridge's secrets; the name is its provider's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SecretKind {
    SigningKeys(&'static str),
    Api(&'static str),
    ReturningAi,
}

impl SecretKind {
    /// All that the bridge has, in the order of the file.
    pub fn all() -> Vec<Self> {
        let of_providers = providers::ALL.iter().flat_map(|provider| {
            let api = provider.api.as_ref().map(|_| Self::Api(provider.name));
            [Some(Self::SigningKeys(provider.name)), api].into_iter().flatten()
        });
        of_providers.chain([Self::ReturningAi]).collect()
    }

    /// Its name in the file.
    pub fn field(self) -> String {
        match self {
            Self::SigningKeys(provider) => format!("{provider}_signing"),
            Self::Api(provider) => format!("{provider}_api"),
            Self::ReturningAi => "returning_ai".to_owned(),
        }
    }

    /// As the template makes it.
    fn placeholder(self) -> Value {
        let fields = |names: &[&str]| -> Value {
            Value::Object(names.iter().map(|name| ((*name).to_owned(), json!(PLACEHOLDER))).collect())
        };
        match self {
            Self::SigningKeys(_) => json!({ "keys": { "current": PLACEHOLDER } }),
            Self::Api(_) => fields(&["base_url", "token_url", "client_id", "client_secret"]),
            Self::ReturningAi => {
                json!({ "workflows": { "workflow-name": fields(&["handshake_url", "webhook_url", "api_key"]) } })
            }
        }
    }

    /// All that is wrong with a value, by field; what the functions accept, and no key that this repository shows.
    fn problems(self, value: &Value) -> Vec<String> {
        let text = value.to_string();
        let problems = match self {
            Self::SigningKeys(_) => KeySet::problems(&text),
            Self::Api(_) => ApiAccount::parse(&text).1,
            Self::ReturningAi => Webhooks::parse(&text).1,
        };
        let field = self.field();
        let mut told: Vec<String> = problems.iter().map(|problem| format!("{field}: {problem}")).collect();
        if let (Self::SigningKeys(_), Some(keys)) = (self, value["keys"].as_object()) {
            let is_public = |key: &Value| key.as_str().is_some_and(|key| key.ends_with(SAMPLE_MARK));
            told.extend(keys.iter().filter(|(_, key)| is_public(key)).map(|(label, _)| {
                format!("{field}: keys.{} is a sample key of this repository, which is public", printable_name(label))
            }));
        }
        told
    }
}

/// A file to fill in.
pub fn template() -> String {
    let all = SecretKind::all().into_iter().map(|secret| (secret.field(), secret.placeholder()));
    format!("{:#}", Value::Object(all.collect()))
}

/// The secrets of the file, each as it stands in Secrets Manager.
///
/// # Errors
/// Other users can read the file, or something in it cannot be used. Fields are named, values are not shown.
pub fn read(path: &Path) -> Result<Vec<(SecretKind, Value)>, OperatorError> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        let hint = format!("`bridge dev --secrets-template > {shown}` makes one to fill in");
        OperatorError::usage(format!("{shown} cannot be read: {error}"), hint)
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(OperatorError::usage(
            format!("{shown} contains secrets, and other users can read or change it: its mode is {mode:03o}"),
            format!("chmod 600 {shown}"),
        ));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    parse(&text).map_err(|problems| {
        OperatorError::usage(
            format!("{shown} cannot be used:\n  {}", problems.join("\n  ")),
            "correct these fields; leave out a secret that you do not have, and the stand-in is used",
        )
    })
}

/// Reports all problems at once.
fn parse(text: &str) -> Result<Vec<(SecretKind, Value)>, Vec<String>> {
    // First any value: an error about a type would show what is there instead.
    let whole: Value =
        serde_json::from_str(without_byte_order_mark(text)).map_err(|error| vec![format!("not JSON: {error}")])?;
    let Value::Object(mut fields) = whole else {
        return Err(vec!["a JSON object of secrets expected".to_owned()]);
    };
    let all = SecretKind::all();
    let given: Vec<_> = all.iter().filter_map(|secret| Some((*secret, fields.remove(&secret.field())?))).collect();
    let mut problems: Vec<String> = given.iter().flat_map(|(secret, value)| secret.problems(value)).collect();
    problems.extend(unknown(&fields, &all));
    if given.is_empty() && problems.is_empty() {
        problems.push(format!("no secret; known are {}", names(&all)));
    }
    if problems.is_empty() { Ok(given) } else { Err(problems) }
}

fn unknown(fields: &Map<String, Value>, known: &[SecretKind]) -> impl Iterator<Item = String> {
    let names = names(known);
    fields.keys().map(move |field| format!("{}: unknown; known are {names}", printable_name(field)))
}

fn names(secrets: &[SecretKind]) -> String {
    secrets.iter().map(|secret| secret.field()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
