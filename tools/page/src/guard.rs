//! Who may ask the page for what: anyone who has the token of this start. That no other web site and no foreign host name reaches it
//! is the matter of the [guard](local::front) that stands before every server of this machine.

use http::{HeaderMap, HeaderValue, Method, Request};
use operator::OperatorError;
use shared::receive::verification::hex;

use crate::problem::Problem;

/// Admits requests, or refuses them.
#[derive(Debug)]
pub(crate) struct Guard {
    token: String,
    read_access: ReadAccess,
}

/// Who may read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReadAccess {
    /// Every user of this machine: the events are samples.
    Open,
    /// Requests with the token: other users of this machine do not have it.
    WithToken,
}

/// The header in which the page sends its token.
pub(crate) const TOKEN_HEADER: &str = "x-bridge-token";

/// 128 bits cannot be guessed.
const TOKEN_BYTES: usize = 16;

/// Scripts and styles are the page's own files, text is never markup, and nothing is loaded from or sent to another host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'";

const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    // Answers hold the token and events, and both change with the next start.
    ("cache-control", "no-store"),
];

impl Guard {
    /// A guard with a token of its own.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn new(read_access: ReadAccess) -> Result<Self, OperatorError> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| {
            OperatorError::outside(
                format!("No random numbers for the page's token: {error}"),
                "check `/dev/urandom` of this machine",
            )
        })?;
        Ok(Self { token: hex(&bytes), read_access })
    }

    /// Required for every request that changes something.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The URL to open, for a page at `url`.
    pub(crate) fn open_url(&self, url: &str) -> String {
        match self.read_access {
            ReadAccess::Open => format!("{url}/"),
            ReadAccess::WithToken => format!("{url}/?token={}", self.token),
        }
    }

    /// Admits a request, or says why it is refused.
    pub(crate) fn admit(&self, request: &Request<impl Sized>) -> Result<(), Problem> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let is_needed = !reads || self.read_access == ReadAccess::WithToken && needs_token(request.uri().path());
        if is_needed && !self.has_token(request, reads) {
            return Err(Problem::forbidden(
                "The token is missing, or belongs to an earlier start",
                "open the URL that `bridge` has printed; each start has a new token",
            ));
        }
        Ok(())
    }

    /// In the header, or in the query where a browser cannot set a header.
    fn has_token(&self, request: &Request<impl Sized>, reads: bool) -> bool {
        let mut sent = request.headers().get_all(TOKEN_HEADER).iter();
        if let (Some(sent), None) = (sent.next(), sent.next()) {
            return sent.as_bytes() == self.token.as_bytes();
        }
        let query = request.uri().query().unwrap_or_default();
        reads && form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "token" && value == self.token)
    }
}

/// The page's own files hold no data of the table.
fn needs_token(path: &str) -> bool {
    path == "/" || path.starts_with("/api/")
}

/// Sets the headers that limit what a browser may do with an answer.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests;
