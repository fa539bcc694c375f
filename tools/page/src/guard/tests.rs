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
    let guard = Guard { token: "the-token".to_owned(), read_access };
    assert_eq!(guard.admit(&request(method, path, headers)).is_ok(), admitted, "{path} {headers:?}");
}

const TOKEN: (&str, &str) = ("x-bridge-token", "the-token");

#[test]
fn nothing_is_changed_without_the_token_in_the_header() {
    let path = "/api/workflows";
    check(ReadAccess::Open, Method::POST, path, &[TOKEN], true);
    check(ReadAccess::Open, Method::POST, path, &[], false);
    check(ReadAccess::Open, Method::POST, path, &[("x-bridge-token", "another")], false);
    check(ReadAccess::Open, Method::POST, path, &[("x-bridge-token", "")], false);
    check(ReadAccess::Open, Method::POST, path, &[TOKEN, TOKEN], false);
    check(ReadAccess::Open, Method::POST, "/api/workflows?token=the-token", &[], false);
    check(ReadAccess::Open, Method::DELETE, path, &[], false);
}

#[test]
fn a_deployed_table_is_shown_only_with_the_token() {
    for (path, headers, admitted) in [
        ("/", &[][..], false),
        ("/?token=the-token", &[], true),
        ("/?token=another", &[], false),
        ("/api/live", &[], false),
        ("/api/live?token=the-token", &[], true),
        ("/api/event?pk=rail%23evt_1", &[TOKEN], true),
        ("/page.js", &[], true),
    ] {
        check(ReadAccess::WithToken, Method::GET, path, headers, admitted);
    }
    check(ReadAccess::Open, Method::GET, "/api/live", &[], true);
}

#[test]
fn each_start_has_a_token_of_its_own() {
    let [one, other] = [0; 2].map(|_| Guard::new(ReadAccess::WithToken).unwrap());
    assert_ne!(one.token(), other.token());
    assert_eq!(one.token().len(), 32);
}
