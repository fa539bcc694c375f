//! A provider's own API as data: its secret, its scope, and the lookups that it answers.

/// What is known of a provider's API when the program is written.
#[derive(Debug)]
pub struct ProviderApi {
    /// The environment variable that names its secret. While it is unset, the API is not asked.
    pub secret_variable: &'static str,
    /// The scope of a token; empty asks for all that the client may do.
    pub scope: &'static str,
    pub lookups: &'static [Lookup],
}

/// One question: which customer does this id belong to?
#[derive(Debug)]
pub struct Lookup {
    /// As in `routes.toml` and in the customers table.
    pub kind: &'static str,
    /// Below the base URL, with a slash at both ends; the id asked about follows.
    pub path: &'static str,
    /// JSON Pointer of the customer's id in the answer.
    pub answer: &'static str,
}
