//! The names of the secrets, what is in the signing keys' one, and an entry that no function can use.

use fastrand::Rng;
use serde_json::{Value, json};

pub const SIGNING_SECRET: &str = "signing";
pub const WEBHOOKS_SECRET: &str = "webhooks";
pub const API_SECRET: &str = "api";

/// An entry of a secret that cannot be used.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub secret: &'static str,
    /// It is what the template gave it.
    pub is_placeholder: bool,
}

pub fn signing_key(version: u32) -> String {
    format!("signing-key-{version}")
}

impl Entry {
    pub fn draw(rare: &mut Rng) -> Self {
        Self { secret: [SIGNING_SECRET, WEBHOOKS_SECRET][rare.usize(..2)], is_placeholder: rare.bool() }
    }

    /// A key that fits may be the one that is left out.
    pub fn may_be_a_key(self) -> bool {
        self.secret == SIGNING_SECRET && !self.is_placeholder
    }

    /// Puts it into the secret.
    pub fn put_into(self, secret: &mut Value) {
        let text = if self.is_placeholder { "REPLACE-ME" } else { "" };
        match self.secret {
            SIGNING_SECRET => secret["keys"]["unusable"] = text.into(),
            _ => secret["workflows"]["unusable"] = json!({ "mode": "legacy", "webhook_url": text, "api_key": text }),
        }
    }
}
