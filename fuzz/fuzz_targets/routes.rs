//! Routes files: one that is wrong is refused with its place, and one that is right fits or does not fit any event.

#![no_main]

use json::Document;
use libfuzzer_sys::fuzz_target;

const EVENT: &str = include_str!("../../events/rail/transaction_posted_deposit.json");

fuzz_target!(|text: &str| {
    match providers::parse_routes("routes.toml", text) {
        Ok(routes) => {
            let event = Document::of(EVENT).expect("it is JSON");
            for route in routes.all() {
                let _ = route.fit(&route.provider, "TRANSACTION_POSTED", event.root());
                assert!(routes.by_name(&route.name).is_some());
                assert!(routes.destination(&route.name).is_some_and(|to| routes.destinations().contains(to)));
            }
            for provider in routes.providers() {
                assert!(event.without(routes.redacted(provider)).len() <= EVENT.len());
            }
        }
        Err(error) => assert!(error.to_string().contains("routes.toml"), "{error}"),
    }
});
