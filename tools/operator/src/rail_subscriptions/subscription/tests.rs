use super::*;

#[test]
fn a_key_is_not_shown() {
    assert_eq!(format!("{:?}", Key::sample("hunter2")), "Key(..)");
}

#[test]
fn a_callback_url_is_https_or_on_this_machine_and_holds_no_credentials() {
    assert_eq!(CallbackUrl::parse("https://EXAMPLE.com:443/a/../b").unwrap().as_str(), "https://example.com/b");
    assert_eq!(CallbackUrl::parse("http://127.0.0.1:9000/b").unwrap().as_str(), "http://127.0.0.1:9000/b");
    for text in [
        "http://example.com/",
        "example.com",
        "https://user@example.com/",
        "https://example.com/#a",
        "ftp://example.com",
    ] {
        let problem = CallbackUrl::parse(text).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "callback URL: an https URL, or an http one on this machine expected",
            "{text}"
        );
    }
}
