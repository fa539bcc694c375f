use super::*;

const LISTED: Provider = Provider {
    name: "sample",
    signature: HeaderPart::Member { header: "x-sample", name: "v1" },
    signed_at: HeaderPart::Member { header: "x-sample", name: "t" },
    forms: &[Form { name: "raw", spelling: None }],
    envelope: EnvelopeMembers { event_id: "id", event_type: "type", occurred_at: "at" },
    api: None,
};

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| ("X-Sample".parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn headers_that_were_written_are_read_again() {
    let apart =
        Provider { signature: HeaderPart::Whole("x-signature"), signed_at: HeaderPart::Whole("x-timestamp"), ..LISTED };
    for (provider, expected) in [
        (&LISTED, &[("x-sample", "t=1747253577,v1=ab")][..]),
        (&apart, &[("x-signature", "ab"), ("x-timestamp", "1747253577")]),
    ] {
        let written = provider.headers(UnixSeconds(1_747_253_577), "ab");
        assert_eq!(written, expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>());
        let headers =
            written.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        assert_eq!(provider.signed_at.values(&headers), ["1747253577"]);
        assert_eq!(provider.signature.values(&headers), ["ab"]);
    }
}

#[test]
fn of_a_list_only_the_named_members_are_read_and_all_of_them() {
    for (values, expected) in [
        (&["v0=cd, v1=ab ,t=1,v1x=1,V1=ef"][..], &["ab"][..]),
        (&["t=1,v1=ab,t=1,v1=cd"], &["ab", "cd"]),
        (&["t=1,v1=ab", "v1=cd"], &["ab", "cd"]),
        (&["v1="], &[""]),
        (&["v1=a=b"], &["a=b"]),
        (&["", "v1", "t=1", ",,"], &[]),
        (&[], &[]),
    ] {
        assert_eq!(LISTED.signature.values(&headers(values)), expected, "{values:?}");
    }
}

#[test]
fn a_path_is_the_provider_s_whatever_stands_before_it() {
    for (path, expected) in [
        ("/webhooks/sample", true),
        ("/prod/webhooks/sample", true),
        ("/webhooks/sample/", false),
        ("/webhooks/other", false),
        ("/webhooks/resample", false),
        ("webhooks/sample", false),
        ("sample", false),
        ("", false),
    ] {
        assert_eq!(LISTED.is_at(path), expected, "{path}");
    }
    assert!(LISTED.is_at(&LISTED.path()));
}

#[test]
fn a_time_is_read_as_a_date_or_as_a_number_whichever_the_provider_sends() {
    #[track_caller]
    fn check(at: &str, expected: Option<u64>) {
        let text = format!(r#"{{"id":7,"type":"PAID","at":{at}}}"#);
        let document = json::Document::parse(text.as_bytes()).unwrap();
        let envelope = LISTED.read_envelope(document.root());
        assert_eq!((envelope.event_id.as_deref(), envelope.event_type.as_deref()), (Some("7"), Some("PAID")));
        assert_eq!(envelope.occurred_at.map(|at| at.0), expected, "{at}");
    }

    for at in ["1747253577", "1747253577000", r#""1747253577""#, r#""1747253577000""#, r#""2025-05-14T20:12:57Z""#] {
        check(at, Some(1_747_253_577_000));
    }
    check("1747253577.5", Some(1_747_253_577_500));
    check(r#""Wed, 14 May 2025 20:12:57 GMT""#, Some(1_747_253_577_000));
    check(r#""2025-05-14""#, Some(1_747_180_800_000));
    for at in ["-1", "253402300801000000000", "1e400", r#""soon""#, r#""""#, "null", "true", "{}", r#"[1747253577]"#] {
        check(at, None);
    }
}
