use super::*;

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

#[track_caller]
fn check(read_access: ReadAccess, method: Method, path: &str, headers: &[(&str, &str)], admitted: bool) {
    let guard = Guard { port: 9000, token: "the-token".to_owned(), read_access };
    assert_eq!(guard.admit(&request(method, path, headers)).is_ok(), admitted, "{path} {headers:?}");
}

const HOST: (&str, &str) = ("host", "127.0.0.1:9000");
const TOKEN: (&str, &str) = ("x-bridge-token", "the-token");

#[test]
fn only_requests_that_name_loopback_are_answered() {
    for (host, admitted) in [
        ("127.0.0.1:9000", true),
        ("localhost:9000", true),
        ("LocalHost:9000", true),
        ("127.0.0.1", false),
        ("127.0.0.1:9001", false),
        ("evil.example:9000", false),
        ("127.0.0.1.evil.example:9000", false),
        ("", false),
    ] {
        check(ReadAccess::Open, Method::GET, "/", &[("host", host)], admitted);
        check(ReadAccess::Open, Method::POST, "/api/send", &[("host", host), TOKEN], admitted);
    }
    check(ReadAccess::Open, Method::GET, "/", &[], false);
    check(ReadAccess::Open, Method::GET, "/", &[HOST, ("host", "evil.example")], false);
}

#[test]
fn nothing_is_changed_without_the_token_in_the_header() {
    let path = "/api/workflows";
    check(ReadAccess::Open, Method::POST, path, &[HOST, TOKEN], true);
    check(ReadAccess::Open, Method::POST, path, &[HOST], false);
    check(ReadAccess::Open, Method::POST, path, &[HOST, ("x-bridge-token", "another")], false);
    check(ReadAccess::Open, Method::POST, path, &[HOST, ("x-bridge-token", "")], false);
    check(ReadAccess::Open, Method::POST, path, &[HOST, TOKEN, TOKEN], false);
    check(ReadAccess::Open, Method::POST, "/api/workflows?token=the-token", &[HOST], false);
    check(ReadAccess::Open, Method::DELETE, path, &[HOST], false);
}

#[test]
fn what_another_site_s_page_sends_is_refused() {
    for (name, value, admitted) in [
        ("origin", "http://127.0.0.1:9000", true),
        ("origin", "http://localhost:9000", true),
        ("origin", "http://evil.example", false),
        ("origin", "http://127.0.0.1:8000", false),
        ("origin", "null", false),
        ("sec-fetch-site", "same-origin", true),
        ("sec-fetch-site", "same-site", false),
        ("sec-fetch-site", "cross-site", false),
    ] {
        check(ReadAccess::Open, Method::POST, "/api/workflows", &[HOST, TOKEN, (name, value)], admitted);
    }
}

#[test]
fn a_deployed_table_is_shown_only_with_the_token() {
    for (path, headers, admitted) in [
        ("/", &[HOST][..], false),
        ("/?token=the-token", &[HOST], true),
        ("/?token=another", &[HOST], false),
        ("/api/live", &[HOST], false),
        ("/api/live?token=the-token", &[HOST], true),
        ("/api/event?pk=rail%23evt_1", &[HOST, TOKEN], true),
        ("/page.js", &[HOST], true),
    ] {
        check(ReadAccess::WithToken, Method::GET, path, headers, admitted);
    }
    check(ReadAccess::Open, Method::GET, "/api/live", &[HOST], true);
}

#[test]
fn each_start_has_a_token_of_its_own() {
    let [one, other] = [0; 2].map(|_| Guard::new(9000, ReadAccess::WithToken).unwrap());
    assert_ne!(one.token(), other.token());
    assert_eq!(one.token().len(), 32);
}
