use super::*;

const KEY: &str = "3b1f9c27d84e6a05";

#[track_caller]
fn check(copied: &str, kinds: &[SlipKind], rest: Option<&str>) {
    let found = slips(copied);
    assert_eq!(found.iter().map(|slip| slip.kind).collect::<Vec<_>>(), kinds, "{copied:?}");
    assert_eq!(found.last().and_then(|slip| slip.rest.as_deref()), rest, "{copied:?}");
    for slip in found {
        assert!(!slip.kind.says().contains(KEY) && !slip.kind.without().contains(KEY));
    }
}

#[test]
fn what_a_copied_key_picked_up_is_told_and_taken_away() {
    for (copied, kind) in [
        (format!("{KEY}\n"), SlipKind::Newline),
        (format!("{KEY}\r\n"), SlipKind::Newline),
        (format!(" {KEY}"), SlipKind::WhiteSpaceAround),
        (format!("\u{a0}{KEY}"), SlipKind::WhiteSpaceAround),
        (format!("\u{feff}{KEY}"), SlipKind::Invisible),
        ("3b1f9c27\u{200b}d84e6a05".to_owned(), SlipKind::Invisible),
        ("3b1f9c27\u{ad}d84e6a05\u{202c}".to_owned(), SlipKind::Invisible),
        (format!("\"{KEY}\""), SlipKind::Quotes),
        (format!("'{KEY}'"), SlipKind::Quotes),
        (format!("`{KEY}`"), SlipKind::Quotes),
        (format!("\u{201c}{KEY}\u{201d}"), SlipKind::TypographicQuotes),
        (format!("\u{201e}{KEY}\u{201c}"), SlipKind::TypographicQuotes),
        (format!("{KEY}\u{2019}"), SlipKind::TypographicQuotes),
        (format!("\u{ab}{KEY}\u{bb}"), SlipKind::TypographicQuotes),
        (format!("<{KEY}>"), SlipKind::Brackets),
        (format!("[{KEY}]"), SlipKind::Brackets),
        (format!("SIGNING_KEY={KEY}"), SlipKind::Name),
        (format!("export RAIL_KEY={KEY}"), SlipKind::Name),
        (format!("webhook_key:{KEY}"), SlipKind::Name),
        (format!("Bearer {KEY}"), SlipKind::Name),
        ("3b1f9c27 d84e6a05".to_owned(), SlipKind::WhiteSpaceWithin),
    ] {
        check(&copied, &[kind], Some(KEY));
    }
}

#[test]
fn several_slips_are_taken_away_from_the_outside_to_the_inside() {
    use SlipKind::{Name, Newline, Quotes, TypographicQuotes, WhiteSpaceAround};
    check(&format!("KEY=\"{KEY}\"\n"), &[Newline, Name, Quotes], Some(KEY));
    let kinds = [TypographicQuotes, Name, WhiteSpaceAround, TypographicQuotes];
    check(&format!("\"key\": \u{201c}{KEY}\u{201d}"), &kinds, Some(KEY));
}

#[test]
fn a_masked_key_and_look_alikes_are_told_and_nobody_can_mend_them() {
    for masked in
        ["whsec_3b1f********", "3b1f...6a05", "\u{2022}\u{2022}\u{2022}\u{2022}6a05", "3b1f\u{2026}6a05", "sk_xxxxxxxx"]
    {
        check(masked, &[SlipKind::Masked], None);
    }
    check("3b1f9c27d84e6\u{430}05", &[SlipKind::NotAscii], None);
}

#[test]
fn a_key_that_was_copied_exactly_has_no_slip() {
    for key in [KEY, "whsec_TUFSS0VEX3NhbXBsZV9rZXk=", "TUFSS0VEX3NhbXBsZV9rZQ==", "a-b_c.d/e+f", "\"", "=", "''", ""] {
        check(key, &[], None);
    }
}
