//! What every function of the bridge shares; it names no provider.
//!
//! The rooms are the steps of a delivery, and data flows one way through them:
//!
//! | step | room |
//! |---|---|
//! | bytes, verified, recorded, answered | [`receive`] |
//! | which routes want the event | the crate [`route`] |
//! | the durable record, its states and its writes | [`record`] |
//! | whose customer it is about | [`customer`] |
//! | the message and its way to Returning.AI | [`deliver`] |
//! | what is due is tried again | [`redrive`] |
//! | what is logged and measured | [`observe`] |
//!
//! Each outside system has one door in [`outside`]. The environment is read by [`config`] alone, the clock by [`clock`]
//! alone. [`function`] puts the rooms together: how a function starts, and what runs behind its answer.

pub mod clock;
pub mod config;
pub mod customer;
pub mod deliver;
pub mod function;
pub mod observe;
pub mod outside;
pub mod receive;
pub mod record;
pub mod redrive;

#[cfg(test)]
mod testing;
