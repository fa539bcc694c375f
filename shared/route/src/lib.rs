//! `routes.toml`: which event goes where, and as what. Its reader, which checks it; the form in which it is compiled into the
//! functions; and what must never be forwarded. No I/O.

mod compiled;
pub mod credentials;
pub mod customer;
pub mod destination;
pub mod lookup;
pub mod reader;
pub mod routes;
