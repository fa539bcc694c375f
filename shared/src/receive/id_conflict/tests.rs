use super::*;
use crate::clock::UnixMillis;
use crate::receive::provider::{EnvelopeMembers, HeaderPart};

static SAMPLE: Provider = Provider {
    name: "sample",
    signature: HeaderPart::Whole("x-sample-signature"),
    signed_at: HeaderPart::Whole("x-sample-timestamp"),
    forms: &[],
    envelope: EnvelopeMembers { event_id: "id", event_type: "type", occurred_at: "at" },
    api: None,
};

const RECORDED: &str =
    r#"{"type":"PAID","id":"1","at":"2025-01-01T00:00:00Z","data":{"amount":1000.00,"to":"\u0041","n":[1,2]}}"#;

/// What becomes of `body` where `RECORDED` is in the table.
#[track_caller]
fn check(event_type: &str, body: &str, expected: Option<IdConflict>) {
    let recorded = RecordedEvent {
        event_type: Some("PAID".to_owned()),
        other_body: (body != RECORDED).then(|| RECORDED.to_owned()),
    };
    let now = UnixMillis(1_738_784_271_042);
    let event_type = Some(event_type.to_owned());
    let event = EventRecord::received("sample", "1".to_owned(), event_type, now, now, body.to_owned());
    assert_eq!(IdConflict::between(&SAMPLE, &recorded, &event), expected, "{body}");
}

#[test]
fn another_type_is_an_event_of_its_own() {
    check("BOOKED", r#"{"type":"BOOKED","id":"1"}"#, Some(IdConflict::AnotherType));
    check("paid", RECORDED, Some(IdConflict::AnotherType));
}

#[test]
fn the_same_type_at_another_time_conflicts_if_it_says_something_else() {
    let later = RECORDED.replace("2025-01-01", "2025-01-02");
    for (changed, into) in [
        ("1000.00", "1000.01"),
        ("1000.00", "\"1000\""),
        ("[1,2]", "[2,1]"),
        ("\"to\"", "\"for\""),
        ("\\u0041", "B"),
        ("\"n\"", "\"at\":1,\"n\""),
    ] {
        check("PAID", &later.replace(changed, into), Some(IdConflict::AnotherTime));
    }
}

#[test]
fn what_is_only_spelled_or_stamped_anew_is_a_duplicate() {
    let later = RECORDED.replace("2025-01-01", "2025-01-02");
    check("PAID", RECORDED, None);
    check("PAID", &later, None);
    check("PAID", &later.replace("1000.00", "1e3").replace("\\u0041", "A").replace(',', " ,\n"), None);
    let ordered = r#"{"data":{"n":[1,2],"to":"A","amount":1000},"at":"2025-01-02T00:00:00Z","id":"1","type":"PAID"}"#;
    check("PAID", ordered, None);
}

#[test]
fn without_two_different_times_in_the_envelopes_it_is_a_duplicate() {
    // The same instant, spelled otherwise.
    check("PAID", &RECORDED.replace("1000.00", "7").replace("00:00:00Z", "00:00:00.000Z"), None);
    check("PAID", &RECORDED.replace("1000.00", "7").replace("2025-01-01T00:00:00Z", "soon"), None);
    check("PAID", r#"{"type":"PAID","id":"1","data":{"amount":7}}"#, None);
}
