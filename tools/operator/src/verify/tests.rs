use super::*;

#[test]
fn headers_are_read_as_curl_and_proxies_print_them() {
    let headers = parse_headers(b"> POST /webhooks/rail HTTP/1.1\r\n> X-Rail-Timestamp: 1747253577\r\nx-a:b:c\r\n\r\n");
    assert_eq!(headers["x-rail-timestamp"], "1747253577");
    assert_eq!(headers["x-a"], "b:c");
}

#[test]
fn headers_are_read_from_a_file_with_a_mark_and_from_json_and_an_event_of_api_gateways() {
    for text in [
        "\u{feff}X-Rail-Timestamp: 1747253577\r\n",
        r#"{"X-Rail-Timestamp": "1747253577"}"#,
        "\u{feff}{\"x-rail-timestamp\": \"1747253577\"}",
        r#"{"version": "2.0", "headers": {"x-rail-timestamp": "1747253577"}, "body": "{}"}"#,
        r#"{"headers": {"x-rail-timestamp": "lost"}, "multiValueHeaders": {"X-Rail-Timestamp": ["1747253577"]}}"#,
    ] {
        assert_eq!(parse_headers(text.as_bytes())["x-rail-timestamp"], "1747253577", "{text}");
    }
    let twice = parse_headers(br#"{"multiValueHeaders": {"x-a": ["1", "2"]}}"#);
    assert_eq!(twice.get_all("x-a").iter().count(), 2);
}

#[test]
fn a_key_file_is_a_key_or_a_secret_with_several() {
    let check = |text: &str, expected: &[(&str, &str)]| {
        let keys = parse_keys("rail.key", text.as_bytes(), KeyOrigin::Provider).unwrap();
        assert_eq!(keys.iter().map(|key| (key.label.as_str(), key.key.as_str())).collect::<Vec<_>>(), expected);
    };
    check("sample_1\n", &[("rail.key", "sample_1")]);
    check("\u{feff}sample_1\r\n", &[("rail.key", "sample_1")]);
    check("\u{feff}{\"keys\": {\"sub_1\": \"sample_1\"}}", &[("sub_1 in rail.key", "sample_1")]);
    let two = [("sub_1 in rail.key", "sample_1"), ("sub_2 in rail.key", "sample_2\n")];
    check(r#"{"keys": {"sub_1": "sample_1", "sub_2": "sample_2\n"}}"#, &two);
    for nothing in ["\n", r#"{"keys": {}}"#, r#"{"keys": {"sub_1": 7}}"#] {
        let failure = parse_keys("rail.key", nothing.as_bytes(), KeyOrigin::Provider).unwrap_err().to_string();
        assert!(failure.contains("rail.key holds no key\nhint: put the signing key into it"), "{failure}");
    }
}
