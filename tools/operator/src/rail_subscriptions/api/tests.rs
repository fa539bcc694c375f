use super::*;

fn id(url: &str, event_type: &str, generation: u32) -> String {
    idempotency_id(&CallbackUrl::parse(url).unwrap(), event_type, generation)
}

/// `printf 'rail subscription\nhttps://example.com/webhooks/rail\nACCOUNT_OPEN\n1' | sha256sum`
#[test]
fn an_idempotency_id_depends_on_url_type_and_generation_alone() {
    let url = "https://example.com/webhooks/rail";
    assert_eq!(id(url, "ACCOUNT_OPEN", 1), "ff8d148f-c38c-808c-bee7-743d4330e796");
    assert_eq!(id("HTTPS://EXAMPLE.com:443/webhooks/rail", "ACCOUNT_OPEN", 1), id(url, "ACCOUNT_OPEN", 1));
    let others =
        [id(url, "ACCOUNT_OPEN", 2), id(url, "ACCOUNT_CLOSED", 1), id("https://example.com/", "ACCOUNT_OPEN", 1)];
    for (n, other) in others.iter().enumerate() {
        assert!(*other != id(url, "ACCOUNT_OPEN", 1) && !others[..n].contains(other), "{other}");
    }
}
