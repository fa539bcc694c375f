use http::Request;

use super::*;

const HOST: (&str, &str) = ("host", "127.0.0.1:9000");
const ALL: [Guests; 3] = [Guests::Programs, Guests::Senders, Guests::Page];

#[track_caller]
fn check(guests: Guests, method: Method, uri: &str, headers: &[(&str, &str)], admitted: bool) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (request, ()) = request.body(()).unwrap().into_parts();
    assert_eq!(admit(guests, 9000, &request).is_ok(), admitted, "{guests:?} {uri} {headers:?}");
}

#[test]
fn only_requests_that_name_loopback_are_answered() {
    for (host, admitted) in [
        ("127.0.0.1:9000", true),
        ("localhost:9000", true),
        ("LocalHost:9000", true),
        ("[::1]:9000", true),
        ("127.0.0.1", false),
        ("127.0.0.1:9001", false),
        ("evil.example:9000", false),
        ("127.0.0.1.evil.example:9000", false),
        ("", false),
    ] {
        for guests in [Guests::Programs, Guests::Page] {
            check(guests, Method::GET, "/", &[("host", host)], admitted);
            check(guests, Method::POST, "/api/send", &[("host", host)], admitted);
        }
        check(Guests::Senders, Method::POST, "/webhooks/rail", &[("host", host)], true);
    }
    for guests in [Guests::Programs, Guests::Page] {
        check(guests, Method::GET, "/", &[], false);
        check(guests, Method::GET, "/", &[HOST, ("host", "evil.example")], false);
        check(guests, Method::GET, "http://evil.example:9000/", &[HOST], false);
        check(guests, Method::GET, "http://127.0.0.1:9000/", &[HOST], true);
    }
}

#[test]
fn what_another_site_s_page_sends_is_refused() {
    for (headers, admitted) in [
        (&[("origin", "http://127.0.0.1:9000")][..], true),
        (&[("origin", "http://localhost:9000")], true),
        (&[("origin", "http://[::1]:9000")], true),
        (&[("origin", "http://evil.example")], false),
        (&[("origin", "https://127.0.0.1:9000")], false),
        (&[("origin", "http://127.0.0.1:8000")], false),
        (&[("origin", "null")], false),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "none")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], false),
    ] {
        check(Guests::Page, Method::POST, "/api/workflows", &[&[HOST], headers].concat(), admitted);
    }
}

#[test]
fn a_page_is_opened_by_hand_or_by_a_link_and_is_no_part_of_another() {
    let cross = ("sec-fetch-site", "cross-site");
    let navigates = ("sec-fetch-mode", "navigate");
    for (headers, admitted) in [
        (&[("sec-fetch-site", "none"), navigates, ("sec-fetch-dest", "document")][..], true),
        (&[cross, navigates, ("sec-fetch-dest", "document")], true),
        (&[cross, navigates, ("sec-fetch-dest", "iframe")], false),
        (&[cross, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")], false),
        (&[cross, ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")], false),
    ] {
        check(Guests::Page, Method::GET, "/", &[&[HOST], headers].concat(), admitted);
    }
}

#[test]
fn what_is_for_programs_is_for_no_browser_whatever_site_it_shows() {
    for header in [
        ("origin", "http://127.0.0.1:9000"),
        ("origin", "null"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-dest", "image"),
        ("sec-fetch-user", "?1"),
    ] {
        check(Guests::Programs, Method::GET, "/", &[HOST, header], false);
        check(Guests::Programs, Method::POST, "/", &[HOST, header], false);
        check(Guests::Senders, Method::POST, "/webhooks/rail", &[HOST, header], false);
    }
    for guests in ALL {
        check(guests, Method::POST, "/", &[HOST, ("user-agent", "curl/8.5.0")], true);
    }
}
