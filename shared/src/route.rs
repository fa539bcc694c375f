//! Which event goes where, and as what: the routes, the reader of their file, and what must never be forwarded. No I/O.

pub mod credentials;
mod reader;
pub mod routes;
