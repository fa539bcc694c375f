use super::*;

#[track_caller]
fn check(body: &str, expected: &str) {
    let (stored, encoding) = stored_body(body.as_bytes());
    assert_eq!(encoding, expected);
    assert!(stored.len() <= body.len());
    assert_eq!(body_from_stored(&stored, encoding).as_deref(), Some(body));
}

#[test]
fn a_long_body_is_deflated_and_reads_back_as_it_was() {
    check("{}", "identity");
    check(&"{\"a\":1}".repeat(1000), "deflate");
}

#[test]
fn a_body_that_deflating_would_lengthen_is_stored_as_it_is() {
    let mut rng = fastrand::Rng::with_seed(1);
    check(&std::iter::repeat_with(|| char::from(rng.u8(1..128))).take(2000).collect::<String>(), "deflate");
    let (stored, encoding) = stored_body(&std::iter::repeat_with(|| rng.u8(..)).take(2000).collect::<Vec<_>>());
    assert_eq!((stored.len(), encoding), (2000, "identity"));
}

#[test]
fn an_unknown_encoding_or_a_broken_body_reads_as_nothing() {
    assert_eq!(body_from_stored(b"{}", "br"), None);
    assert_eq!(body_from_stored(b"{}", "deflate"), None);
    assert_eq!(body_from_stored(b"\xff", "identity"), None);
}

#[test]
fn what_was_fetched_reads_back_as_it_was_and_what_cannot_be_read_is_an_error() {
    let at = UnixMillis(1_738_784_271_042);
    let event_type = Some("PAID".to_owned());
    let mut event =
        EventRecord::received("sample", "evt_1".to_owned(), event_type, at, at, "{}".to_owned()).begin(["r"], at);
    let mut item = item_of(&event, 8).unwrap();
    assert_eq!((fetched_of(&event), record_of("sample#evt_1", &item)), (None, Ok(event.clone())));
    let fetched = [("note", Some(r#""n""#)), ("amount", Some("10.00")), ("memo", None)];
    let fetched = fetched.map(|(field, json)| (field.to_owned(), json.map(str::to_owned)));
    event.fetched = [("r".to_owned(), fetched.into())].into();
    item.insert("fetched".to_owned(), fetched_of(&event).unwrap());
    assert_eq!(record_of("sample#evt_1", &item), Ok(event));
    let malformed =
        [number(1u32), map([("r", Some(string("x")))]), map([("r", Some(map([("note", Some(number(1u32)))])))])];
    for malformed in malformed {
        item.insert("fetched".to_owned(), malformed);
        let error = record_of("sample#evt_1", &item).unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { attribute: "fetched", .. }), "{error}");
    }
}
