//! The canonical spellings of a body that Rillis's signature may be over.
//!
//! Rillis signs its payload "with keys sorted recursively, stringified", and leaves open how. JavaScript programs do it in
//! two ways that differ for integer-like keys and for `__proto__`; both are here. Source: `docs/contracts/rillis.md`.

use json::{Member, Value};

/// A sorted object **rebuilt** by assignment and given to `JSON.stringify`, recursively; arrays keep their order.
///
/// `Object.keys(o).sort()` assigned into `{}`: the object puts integer-like keys first, ascending, whatever the order of
/// assignment; the others follow by UTF-16 code unit. Assigning `__proto__` sets the prototype instead of a member, so an
/// own `__proto__` is lost.
///
/// Takes n log n time and one copy of the text, at any depth.
pub fn rebuilt(value: Value<'_>) -> String {
    value.stringify_arranged(|members| {
        members.retain(|member| !member.key.equals("__proto__"));
        members.sort_unstable_by(|a, b| {
            let place = |member: &Member<'_>| member.key.array_index().map_or(u64::MAX, u64::from);
            place(a).cmp(&place(b)).then_with(|| a.key.cmp(&b.key))
        });
    })
}

/// A text **built** key by key in UTF-16 order, recursively, as in RFC 8785; arrays keep their order.
///
/// No object comes between: integer-like keys stand in text order (`10` before `9`), and an own `__proto__` is kept.
///
/// Takes n log n time and one copy of the text, at any depth.
pub fn built(value: Value<'_>) -> String {
    value.stringify_arranged(|members| members.sort_unstable_by(|a, b| a.key.cmp(&b.key)))
}

#[cfg(test)]
mod tests;
