//! Who may call a server on this machine: programs here, and a page that the server itself has sent. A web site that the person's
//! browser visits may not, nor a host name of a stranger that points at this machine.

use http::request::Parts;
use http::{HeaderMap, Method, header};

/// Whom a path is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Guests {
    /// Programs on this machine.
    Programs,
    /// Programs anywhere: a tunnel gives a webhook a name of its own, and what arrives there is signed.
    Senders,
    /// Programs on this machine, and the page that is served here.
    Page,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
}

const NOT_ADDRESSED: Refusal = Refusal {
    message: "This server answers requests to `127.0.0.1`, `localhost` and `[::1]` only",
    hint: "use one of these names, with the port",
};

const FROM_A_BROWSER: Refusal = Refusal {
    message: "This server answers programs and no browser",
    hint: "use the AWS CLI, curl or `bridge`; the page of `bridge dev` is at the port of the webhooks",
};

const FROM_ANOTHER_SITE: Refusal = Refusal {
    message: "A page of another site sent this request",
    hint: "open the URL that `bridge` has printed; only the page itself may change something",
};

/// Admits a request to `port`, or says why not.
pub(super) fn admit(guests: Guests, port: u16, request: &Parts) -> Result<(), Refusal> {
    let headers = &request.headers;
    if guests != Guests::Senders && !is_addressed_to_us(request, port) {
        return Err(NOT_ADDRESSED);
    }
    match guests {
        Guests::Programs | Guests::Senders if is_of_a_browser(headers) => Err(FROM_A_BROWSER),
        Guests::Page if !is_from_our_page(request, port) => Err(FROM_ANOTHER_SITE),
        _ => Ok(()),
    }
}

/// Another host name can be pointed at loopback by an attacker (DNS rebinding).
fn is_addressed_to_us(request: &Parts, port: u16) -> bool {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let ours = names(port);
    let is_ours = |host: &[u8]| ours.iter().any(|ours| host.eq_ignore_ascii_case(ours.as_bytes()));
    is_ours(host.as_bytes()) && request.uri.authority().is_none_or(|named| is_ours(named.as_str().as_bytes()))
}

fn is_of_a_browser(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == header::ORIGIN || name.as_str().starts_with("sec-fetch-"))
}

/// Browsers say where a request comes from. A link on another site may lead to the page, which is then shown to the person alone.
fn is_from_our_page(request: &Parts, port: u16) -> bool {
    let all = |name: &str, wanted: &dyn Fn(&[u8]) -> bool| {
        request.headers.get_all(name).iter().all(|value| wanted(value.as_bytes()))
    };
    let has =
        |name: &str, value: &str| request.headers.get(name).is_some_and(|sent| sent.as_bytes() == value.as_bytes());
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let is_link = reads && has("sec-fetch-mode", "navigate") && has("sec-fetch-dest", "document");
    let ours = names(port).map(|name| format!("http://{name}"));
    all("origin", &|origin| ours.iter().any(|ours| origin == ours.as_bytes()))
        && (is_link || all("sec-fetch-site", &|site| site == b"same-origin" || reads && site == b"none"))
}

fn names(port: u16) -> [String; 3] {
    ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}"))
}

#[cfg(test)]
mod tests;
