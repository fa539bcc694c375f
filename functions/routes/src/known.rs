//! What a route may name. The build cannot ask the providers' contracts, which a test holds to this.

use route::routes::Known;

pub const KNOWN: Known<'static> =
    Known::Only { providers: &["rail", "rillis"], apis: &["rail"], kinds: &["rail-account", "rail-application"] };
