//! `Retry-After`, as any peer may write it: a pause of at most twelve hours, whatever the time.

#![no_main]

use std::time::Duration;

use lambda_http::http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use libfuzzer_sys::fuzz_target;
use shared::clock::UnixMillis;
use shared::outside::http::retry_after;

const TWELVE_HOURS: Duration = Duration::from_secs(12 * 60 * 60);

fuzz_target!(|value: &[u8]| {
    let Ok(header) = HeaderValue::from_bytes(value) else { return };
    let headers = HeaderMap::from_iter([(RETRY_AFTER, header)]);
    let pauses = [0, 1_747_253_577_000, u64::MAX].map(|now| {
        let pause = retry_after(&headers, UnixMillis(now)).expect("there is a header");
        assert!(pause <= TWELVE_HOURS, "{pause:?}");
        pause
    });
    assert!(pauses.is_sorted_by(|earlier, later| earlier >= later), "{pauses:?}");
    if let Some(seconds) = str::from_utf8(value).ok().and_then(|text| text.parse::<u32>().ok())
        && value.iter().all(u8::is_ascii_digit)
    {
        assert_eq!(pauses, [Duration::from_secs(seconds.into()).min(TWELVE_HOURS); 3]);
    }
});
