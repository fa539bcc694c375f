//! Numbers as JavaScript reads and prints them.

/// Prints a number as JavaScript does: the shortest digits that read back as the same `f64`.
pub(super) fn push_number(out: &mut String, literal: &str) {
    /// Decimals of no more digits survive the way through an `f64`: the shortest digits are their own.
    const SURVIVING_DIGITS: usize = 15;

    let magnitude = literal.strip_prefix('-').unwrap_or(literal);
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // What starts with six zeros is printed with an exponent.
    let plain = whole.len() + fraction.len() <= SURVIVING_DIGITS
        && all_digits(whole)
        && all_digits(fraction)
        && !(whole == "0" && fraction.starts_with("000000"));
    if !plain {
        push_f64(out, number(literal));
        return;
    }

    let fraction = fraction.trim_end_matches('0');
    if literal.starts_with('-') && !(whole == "0" && fraction.is_empty()) {
        out.push('-');
    }
    out.push_str(whole);
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}

/// The `f64` nearest to a number literal.
fn number(literal: &str) -> f64 {
    /// From some 655,000 on, std reads an exponent too small. That matters only where as many digits make up for it.
    const LONG: usize = 60_000;
    /// No more than 767 digits decide to which side a number is rounded; whether any other is not 0 does the rest.
    const DECIDING_DIGITS: usize = 800;

    if literal.len() < LONG {
        return literal.parse().unwrap_or(f64::NAN);
    }

    let (sign, magnitude) = literal.strip_prefix('-').map_or(("", literal), |magnitude| ("-", magnitude));
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.chars().chain(fraction.chars());
    let zeros = digits().take_while(|digit| *digit == '0').count();
    let mut deciding: String = digits().skip(zeros).take(DECIDING_DIGITS).collect();
    if digits().skip(zeros + DECIDING_DIGITS).any(|digit| digit != '0') {
        deciding.push('1');
    }
    let out_of_range = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
    let exponent: i64 = exponent.parse().unwrap_or(out_of_range);
    let exponent = exponent.saturating_add(whole.len() as i64 - zeros as i64);
    format!("{sign}0.{deciding}e{exponent}").parse().unwrap_or(f64::NAN)
}

/// ECMA-262 §6.1.6.1.20 `Number::toString`, and `null` for what is not finite (§25.5.2.2 `SerializeJSONProperty`).
fn push_f64(out: &mut String, number: f64) {
    match number.is_finite() {
        true => out.push_str(ryu_js::Buffer::new().format_finite(number)),
        false => out.push_str("null"),
    }
}
