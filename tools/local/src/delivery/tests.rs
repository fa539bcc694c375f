use super::*;

fn provider(name: &str) -> &'static Provider {
    providers::by_name(name).unwrap()
}

#[test]
fn a_fresh_id_takes_the_old_one_s_place_and_nothing_else_changes() {
    #[track_caller]
    fn check(of: &str, body: &str, before: &str, digits: usize, after: &str) {
        let renewed = with_fresh_id(provider(of), body.as_bytes(), &mut Rng::with_seed(1));
        let renewed = String::from_utf8(renewed.unwrap()).unwrap();
        assert!(renewed.starts_with(before) && renewed.ends_with(after), "{renewed}");
        assert_eq!(renewed.len(), before.len() + digits + after.len(), "{renewed}");
    }

    let body = r#"{ "note": "evt_1", "event_id": "evt_1", "amount": 1000.00 }"#;
    check("rail", body, r#"{ "note": "evt_1", "event_id": "evt_"#, 16, r#"", "amount": 1000.00 }"#);
    check("rail", r#"{"event_id":7}"#, r#"{"event_id":"#, 15, "}");
    check("rillis", r#"{"id":"67a3be0fb928eb94fbb49e09"}"#, r#"{"id":""#, 24, r#""}"#);
}

#[test]
fn a_body_without_an_id_has_no_key_and_none_to_renew() {
    for body in ["{}", r#"{"id":"a"}"#, r#"{"event_id":null}"#, "[]", "not JSON", "\u{feff}{}"] {
        let of_rail = (
            key_of(provider("rail"), body.as_bytes()),
            with_fresh_id(provider("rail"), body.as_bytes(), &mut Rng::new()),
        );
        assert_eq!(of_rail, (None, None), "{body}");
    }
    assert_eq!(key_of(provider("rail"), br#"{"event_id":7}"#).as_deref(), Some("rail#7"));
    assert_eq!(key_of(provider("rillis"), br#"{"id":"a"}"#).as_deref(), Some("rillis#a"));
}
