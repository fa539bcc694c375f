//! What an item of the events table says, read as the checks need it.

use serde_json::Value;

use crate::table::text;
use crate::table::value::Item;
use crate::time::SECOND;

/// A clock that is wrong by 14 s, the time of a call, and seconds that are rounded.
pub(crate) const MAX_CLOCK_ERROR_MS: u64 = 20 * SECOND;

/// Whether two times are the same but for a clock that is wrong.
pub(crate) fn is_near(one_ms: u64, other_ms: u64) -> bool {
    one_ms.abs_diff(other_ms) <= MAX_CLOCK_ERROR_MS
}

pub(crate) fn state(item: &Item) -> String {
    text(item, "state").unwrap_or_default().to_owned()
}

/// The routes of an event, each with its state.
pub(crate) fn routes(item: &Item) -> impl Iterator<Item = (&str, &str)> {
    let deliveries = item.get("deliveries").and_then(|deliveries| deliveries["M"].as_object());
    deliveries.into_iter().flatten().map(|(route, delivery)| {
        (route.as_str(), delivery.pointer("/M/state/S").and_then(Value::as_str).unwrap_or_default())
    })
}

pub(crate) fn routes_in<'i>(item: &'i Item, state: &'i str) -> impl Iterator<Item = &'i str> {
    routes(item).filter(move |(_, is)| *is == state).map(|(route, _)| route)
}

pub(crate) fn code(item: &Item, route: &str) -> String {
    let delivery = item.get("deliveries").and_then(|deliveries| deliveries["M"].get(route));
    delivery.and_then(|delivery| delivery.pointer("/M/code/S")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A number that a record has of a route.
pub(crate) fn field(item: &Item, route: &str, name: &str) -> Option<u64> {
    let delivery = item.get("deliveries")?["M"].get(route)?;
    delivery.pointer(&format!("/M/{name}/N"))?.as_str()?.parse().ok()
}
