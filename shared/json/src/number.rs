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
    if !number.is_finite() {
        out.push_str("null");
        return;
    }
    if number == 0.0 {
        out.push('0');
        return;
    }

    if number < 0.0 {
        out.push('-');
    }
    let (digits, point) = shortest_digits(number.abs());
    let zeros = |out: &mut String, count: usize| out.extend(std::iter::repeat_n('0', count));
    match point {
        1..=21 => {
            let whole = point.unsigned_abs() as usize;
            match digits.split_at_checked(whole) {
                Some((whole, "")) => out.push_str(whole),
                Some((whole, fraction)) => {
                    out.push_str(whole);
                    out.push('.');
                    out.push_str(fraction);
                }
                None => {
                    out.push_str(&digits);
                    zeros(out, whole - digits.len());
                }
            }
        }
        -5..=0 => {
            out.push_str("0.");
            zeros(out, point.unsigned_abs() as usize);
            out.push_str(&digits);
        }
        _ => {
            let (first, fraction) = digits.split_at(1);
            out.push_str(first);
            if !fraction.is_empty() {
                out.push('.');
                out.push_str(fraction);
            }
            out.push_str(if point > 0 { "e+" } else { "e" });
            out.push_str(&(point - 1).to_string());
        }
    }
}

/// The fewest digits that read back as `number`, which is positive and finite, the nearest to it of those; and how many
/// of them stand before the decimal point (below 0: how many zeros stand behind it).
///
/// Rust finds the same digits but where two candidates are equally near: it takes the greater one, JavaScript the even
/// one (`1272272955179036.25` becomes `1272272955179036.2`).
fn shortest_digits(number: f64) -> (String, i32) {
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let digits = mantissa.replace('.', "");

    let greater: u64 = digits.parse().unwrap_or(0);
    let last_place = point - digits.len() as i32;
    if greater % 2 == 1 && is_exactly(number, greater * 10 - 5, last_place - 1) {
        let even = (greater - 1).to_string();
        if format!("{even}e{last_place}").parse() == Ok(number) {
            return (even, point);
        }
    }
    (digits, point)
}

/// Whether `number`, known to be about `digits` times ten to the `power`, is exactly that.
fn is_exactly(number: f64, digits: u64, power: i32) -> bool {
    let bits = number.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let significand = if bits >> 52 == 0 { fraction } else { fraction | 1 << 52 };
    // Both sides without their factors of two, which agree when the rest does.
    let odd = |number: u64| number >> number.trailing_zeros();
    let Some(fives) = 5_u64.checked_pow(power.unsigned_abs()) else {
        return false;
    };
    if power < 0 {
        odd(significand).checked_mul(fives) == Some(odd(digits))
    } else {
        odd(digits).checked_mul(fives) == Some(odd(significand))
    }
}
