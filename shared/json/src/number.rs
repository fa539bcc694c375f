//! Numbers as JavaScript reads and prints them.

use std::cmp::Ordering;

use crate::work;

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

/// The `f64` nearest to a number literal, of two equally near ones the even.
///
/// std is quick where at most 19 digits count, and takes up to 10 µs for each number of more that is all but halfway between
/// two `f64`, which a stranger can write 10,000 times. So more than 19 digits are cut, and where the digits that were cut
/// decide, the number is compared with the halfway point itself, in whole numbers.
fn number(literal: &str) -> f64 {
    /// As many always fit into a `u64`.
    const QUICK_DIGITS: usize = 19;
    /// No more than 767 digits decide to which side a number is rounded; whether any other is not 0 does the rest.
    const DECIDING_DIGITS: usize = 800;
    /// Beyond these powers of ten every number is infinite or zero.
    const POWERS: std::ops::RangeInclusive<i64> = -330..=310;

    if literal.len() <= QUICK_DIGITS {
        return by_std(literal);
    }
    work::count(|| literal.len());
    let (sign, magnitude) = literal.strip_prefix('-').map_or((1.0, literal), |magnitude| (-1.0, magnitude));
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let zeros = digits().take_while(|digit| *digit == b'0').count();
    let out_of_range = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
    // The number is 0.DIGITS times ten to this power.
    let power = exponent.parse().unwrap_or(out_of_range).saturating_add(whole.len() as i64 - zeros as i64);

    let mut significant: Vec<u8> = digits().skip(zeros).take(DECIDING_DIGITS).collect();
    if digits().skip(zeros + DECIDING_DIGITS).any(|digit| digit != b'0') {
        significant.push(b'1');
    }
    while significant.last() == Some(&b'0') {
        significant.pop();
    }
    if significant.is_empty() || power < *POWERS.start() {
        return sign * 0.0;
    }
    if power > *POWERS.end() {
        return sign * f64::INFINITY;
    }

    let quick = significant.len().min(QUICK_DIGITS);
    let first_digits = Whole::of(&significant[..quick]).low();
    let scaled = |digits: u64| by_std(&format!("{digits}e{}", power - quick as i64));
    let below = scaled(first_digits);
    if quick == significant.len() || below == scaled(first_digits + 1) {
        return sign * below;
    }
    let above = f64::from_bits(below.to_bits() + 1);
    sign * match compare_to_middle(&significant, power - significant.len() as i64, below) {
        Ordering::Less => below,
        Ordering::Greater => above,
        Ordering::Equal if below.to_bits() % 2 == 0 => below,
        Ordering::Equal => above,
    }
}

fn by_std(literal: &str) -> f64 {
    work::count(|| {
        let digits = literal.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).filter(u8::is_ascii_digit).count();
        if digits <= 19 { 20 } else { 1000 + literal.len() }
    });
    literal.parse().unwrap_or(f64::NAN)
}

/// How `digits` times ten to the power of `tens` compares to the middle between `below` and the `f64` after it.
fn compare_to_middle(digits: &[u8], tens: i64, below: f64) -> Ordering {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    const LEAST_POWER_OF_TWO: i64 = -1074;

    let bits = below.to_bits();
    let (exponent, mantissa) = ((bits >> MANTISSA_BITS) as i64, bits & ((1 << MANTISSA_BITS) - 1));
    // `below` is mantissa times two to the power of `twos`, the middle half a mantissa more.
    let (mantissa, twos) = match exponent {
        0 => (mantissa, LEAST_POWER_OF_TWO),
        _ => (mantissa | 1 << MANTISSA_BITS, exponent - 1 + LEAST_POWER_OF_TWO),
    };
    let mut number = Whole::of(digits);
    let mut middle = Whole(vec![2 * mantissa + 1]);
    // Ten is two times five.
    let larger = if tens < 0 { &mut middle } else { &mut number };
    larger.multiply_by_power_of_five(tens.unsigned_abs());
    let twos = twos - 1 - tens;
    let larger = if twos < 0 { &mut number } else { &mut middle };
    larger.shift_left(twos.unsigned_abs());
    number.compare(&middle)
}

/// A whole number of any size: 64 bits each, the lowest first, the highest not 0.
struct Whole(Vec<u64>);

impl Whole {
    /// The number that these decimal digits spell.
    fn of(digits: &[u8]) -> Self {
        /// The most digits of which every number fits into 64 bits.
        const AT_ONCE: usize = 19;

        let mut whole = Self(Vec::with_capacity(48));
        for some in digits.chunks(AT_ONCE) {
            let value = some.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
            whole.multiply_and_add(10_u64.pow(some.len() as u32), value);
        }
        whole
    }

    fn low(&self) -> u64 {
        self.0.first().copied().unwrap_or_default()
    }

    fn multiply_by_power_of_five(&mut self, power: u64) {
        /// The highest power of five in 64 bits.
        const AT_ONCE: u64 = 27;

        for _ in 0..power / AT_ONCE {
            self.multiply_and_add(5_u64.pow(AT_ONCE as u32), 0);
        }
        self.multiply_and_add(5_u64.pow((power % AT_ONCE) as u32), 0);
    }

    fn multiply_and_add(&mut self, factor: u64, added: u64) {
        work::count(|| 1 + self.0.len());
        let mut carry = added;
        for part in &mut self.0 {
            let product = u128::from(*part) * u128::from(factor) + u128::from(carry);
            (*part, carry) = (product as u64, (product >> 64) as u64);
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    fn shift_left(&mut self, bits: u64) {
        self.multiply_and_add(1 << (bits % 64), 0);
        self.0.splice(0..0, std::iter::repeat_n(0, bits as usize / 64));
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

/// ECMA-262 §6.1.6.1.20 `Number::toString`, and `null` for what is not finite (§25.5.2.2 `SerializeJSONProperty`).
fn push_f64(out: &mut String, number: f64) {
    match number.is_finite() {
        true => {
            work::count(|| 20);
            out.push_str(ryu_js::Buffer::new().format_finite(number));
        }
        false => out.push_str("null"),
    }
}
