//! What a route may name. The build cannot ask the providers' contracts, which a test holds to this.

/// Every provider.
pub const PROVIDERS: &[&str] = &["rail", "rillis"];

/// What the providers' APIs can be asked.
pub const LOOKUP_KINDS: &[&str] = &["rail-account", "rail-application"];
