//! Rail's subscriptions against what `routes.toml` needs, with their keys in the signing secret.
//!
//! For operators: no function holds this code. A [`Snapshot`] is what Rail and the secret have now, [`plan`] derives the steps
//! that are needed, [`Subscriptions`] takes them. All state is at Rail and in the secret, so a run that was stopped half-way
//! only has to be started again (`docs/rail-subscriptions.md`).

pub mod access;
mod api;
mod error;
mod event_types;
mod operations;
pub mod plan;
mod signing_secret;
mod subscription;

pub use self::api::RailApi;
pub use self::error::{Cause, Error, Operation, RailError};
pub use self::event_types::{EVENT_TYPES, RequiredTypes, Source, source};
pub use self::operations::{Deletion, Outcome, Progress, RejectedType, Rotation, Subscriptions};
pub use self::plan::Snapshot;
pub use self::signing_secret::{Change, SigningSecret, StoredKeys};
pub use self::subscription::{CallbackUrl, Key, NewSubscription, Registration, Subscription};
