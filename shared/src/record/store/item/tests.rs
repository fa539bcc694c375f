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
