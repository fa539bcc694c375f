use super::*;

#[test]
fn whose_body_it_is_is_seen_from_the_envelope_or_has_to_be_said() {
    let routes = providers::routes();
    let provider_in = |file: &str, body: &str, given| {
        Preview::new(body.as_bytes(), Path::new(file), given, &routes)
            .map(|preview| preview.event.provider)
            .map_err(|error| error.to_string())
    };
    let provider = |body: &str, given| provider_in("body.json", body, given);
    assert_eq!(provider(r#"{"id":"1","type":"FLOW_COMPLETED","timestamp":1}"#, None).as_deref(), Ok("rillis"));
    assert_eq!(provider(r#"{"event_type":"POSTED"}"#, None).as_deref(), Ok("rail"));
    assert_eq!(provider("{}", providers::by_name("rail")).as_deref(), Ok("rail"));
    // Both have a type here; one has the rest as well.
    let more = r#"{"event_type":"POSTED","type":"A","id":"1","timestamp":1}"#;
    assert_eq!(provider(more, None).as_deref(), Ok("rillis"));
    let both = r#"{"event_type":"POSTED","type":"FLOW_COMPLETED"}"#;
    assert_eq!(provider_in("events/rail/body.json", both, None).as_deref(), Ok("rail"));
    assert_eq!(provider_in("events/rillis/body.json", both, None).as_deref(), Ok("rillis"));
    for body in ["{}", both] {
        let error = provider(body, None).unwrap_err();
        assert!(error.contains("Cannot recognise the provider"), "{error}");
    }
}
