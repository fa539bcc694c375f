//! Rail's subscriptions against what `routes.toml` needs, their keys in the signing secret.
//!
//! For operators: no function holds this code. [`Look`] is what there is at Rail and in the secret, [`plan`] says what is
//! amiss and what helps, [`Subscriptions`] does it. All that a run needs to know about an earlier one is at Rail and in the
//! secret, so that whoever dies half-way only has to begin again (`docs/rail-subscriptions.md`).

mod api;
mod error;
mod event_types;
mod operations;
pub mod plan;
mod signing_secret;

pub use self::api::{Created, Key, RailApi, Subscription};
pub use self::error::{Doing, Error, RailError, Why};
pub use self::event_types::{EVENT_TYPES, Needed, Source, source};
pub use self::operations::{Deleted, Outcome, RefusedType, Rotation, Subscriptions, Told};
pub use self::plan::{CallbackUrl, Look};
pub use self::signing_secret::{Change, Held, SigningSecret};
