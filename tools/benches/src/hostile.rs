//! Bodies that are built to be costly. Each is of the most bytes that are taken, and of another text in each form that a
//! provider may have signed, so that none is spared.

/// Every kind, by what is costly about it, as a body of at most `bytes` bytes.
pub(crate) fn kinds(bytes: usize) -> Vec<(&'static str, String)> {
    let filled = Filled { bytes };
    let keys = |key: &dyn Fn(u64) -> String| filled.object(|n| format!("\"{}\":0", key(n)));
    let same = |piece: &'static str| filled.array(move |_| piece.to_owned());
    let string = |piece: &str| filled.nested("\"", piece, "\"", "");
    let forty = "a".repeat(40);
    let tenth = |n: u64| char::from(b'a' + (n % 10) as u8);
    [
        // Keys: escapes, long common prefixes, such as look like numbers, orders, duplicates.
        ("keys `\\u0031111111111<n>`", keys(&|n| format!("\\u0031111111111{}", n % 100_000))),
        ("integer-like keys with an escape", keys(&|n| format!("\\u0031{}", n % 1_000_000_000))),
        ("integer-like keys", keys(&|n| format!("{}", n % 100_000))),
        ("almost integer-like keys", keys(&|n| format!("{}x", n % 10_000))),
        ("keys with a prefix of 40 and an escape", keys(&|n| format!("\\u0061{forty}{}", n % 100_000))),
        ("keys with a prefix of 40", keys(&|n| format!("{forty}{}", n % 100_000))),
        ("keys with a prefix of 7", keys(&|n| format!("aaaaaaa{:x}", n % 0x1_0000))),
        ("keys with a prefix of 3, beyond ASCII", keys(&|n| format!("ééé{:x}", n % 0x1_0000))),
        ("keys that grow by a letter", filled.object(|n| format!("\"{}\":0", "a".repeat(n as usize % 720)))),
        ("keys of 3 letters", keys(&|n| [n, n / 10, n / 100].map(tenth).iter().collect())),
        ("keys of one escape", keys(&|n| format!("\\u{:04x}", n % 0x1_0000))),
        ("keys of a lone surrogate and a letter", keys(&|n| format!("\\ud8{:02x}{:x}", n % 256, n / 256 % 16))),
        ("keys in falling order", filled.object_in_turn(|n| format!("\"{:05}\":0", 99_999 - n))),
        ("keys in rising order", filled.object_in_turn(|n| format!("\"k{n:05}\":0"))),
        (
            "keys that rise and fall",
            filled.object_in_turn(|n| format!("\"k{:05}\":0", if n % 2 == 0 { n } else { 99_999 - n })),
        ),
        ("one key again and again", keys(&|_| "a".to_owned())),
        ("a thousand keys again and again, with an escape", keys(&|n| format!("\\u0061{}", n % 1000))),
        ("empty keys", keys(&|_| String::new())),
        ("`__proto__`, with an escape", keys(&|_| "\\u005f_proto__".to_owned())),
        // Numbers: short ones, such as are printed long, such as are all but halfway between two doubles.
        ("`9e9`", same("9e9")),
        ("`9e0`", same("9e0")),
        ("`1e20`", same("1e20")),
        ("`5e-9`", same("5e-9")),
        ("numbers of one digit", filled.array(|n| (n % 10).to_string())),
        ("numbers of 15 digits", filled.array(|n| format!("1{:014}", n % 100_000_000_000_000))),
        ("numbers of 17 digits", filled.array(|n| format!("0.{:017}", n.wrapping_mul(n) % 99_999_999_999_999_999))),
        ("numbers of 19 letters", filled.array(|n| format!("1.{:012}e-30{}", n % 1_000_000_000_000, n % 10))),
        ("halfway in 20 digits", filled.array(|n| format!("{}.01", (1 << 53) + 2 * (n & 0xFFFF_FFFF) + 1))),
        (
            "halfway in 280 digits",
            filled.array(|n| format!("{}.{}1", (1 << 53) + 2 * (n & 0xFFFF_FFFF) + 1, "0".repeat(262))),
        ),
        ("halfway at e-290", same("1.35807730622717845950001e-290")),
        ("halfway at the least double", same("24703282292062327208e-343")),
        (
            "halfway at the least double, in 800 digits",
            filled.array(|_| format!("2.4703282292062327208{}e-324", "2".repeat(780))),
        ),
        (
            "beyond the greatest double, in 309 digits",
            filled.array(|_| format!("17976931348623158{}", "0".repeat(292))),
        ),
        ("one number", filled.nested("0.", "7", "", "")),
        // Strings.
        ("one plain string", string("x")),
        ("one string of `\\n`", string("\\n")),
        ("one string of `\\u0001`", string("\\u0001")),
        ("one string of `\\u0041`", string("\\u0041")),
        ("one string of pairs of surrogates", string("\\ud83d\\ude00")),
        ("one string of lone surrogates", string("\\ud800")),
        ("one string of é behind an escape", filled.nested("\"\\n", "é", "\"", "")),
        ("strings of one escape", same("\"\\n\"")),
        ("strings of one letter, one escape", same("\"a\\\"\"")),
        ("empty strings", same("\"\"")),
        // Depth and breadth.
        ("arrays in arrays", filled.nested("", "[", "", "]")),
        ("objects in objects", filled.nested("", "{\"\":", "0", "}")),
        ("objects in objects, under an integer-like key", filled.nested("", "{\"1\":", "0", "}")),
        ("objects in arrays in objects", filled.nested("", "[{\"\":", "0", "}]")),
        ("empty objects", same("{}")),
        ("empty arrays", same("[]")),
        ("objects of one member", same("{\"\":0}")),
        ("objects of two members, the second first", same("{\"b\":0,\"a\":0}")),
        (
            "objects of 21 members, the last first",
            filled.array(|_| {
                let members: Vec<String> = (0..21).rev().map(|at| format!("\"{}\":0", char::from(b'a' + at))).collect();
                format!("{{{}}}", members.join(","))
            }),
        ),
        (
            "objects of 16 members with a prefix of 200 and an escape",
            filled.array(|n| {
                let prefix = "a".repeat(200);
                let members: Vec<String> =
                    (0..16).map(|at| format!("\"\\u0061{prefix}{:x}\":0", (7 * at + n) % 16)).collect();
                format!("{{{}}}", members.join(","))
            }),
        ),
        ("white space", filled.nested("0", " ", "", "")),
        // What is no JSON is hashed as it is, and shows so only at its end.
        ("no JSON at the last byte", format!("{}!", "[0,".repeat(bytes / 3))),
        ("no UTF-8 to speak of", "é".repeat(bytes / 2)),
    ]
    .into()
}

/// Fills bodies up to a size.
struct Filled {
    bytes: usize,
}

/// In front of what is costly.
const OPEN: &str = r#"{"x":"#;

/// Behind it: these come in another order, each time that the order of keys is another, and are found last.
const CLOSE: &str = r#","a":0,"10":0,"9":0}"#;

impl Filled {
    /// Members of a number in no order.
    fn object(&self, member: impl Fn(u64) -> String) -> String {
        self.object_in_turn(|n| member(scattered(n)))
    }

    fn object_in_turn(&self, member: impl Fn(u64) -> String) -> String {
        self.of("{", member, "}")
    }

    fn array(&self, element: impl Fn(u64) -> String) -> String {
        self.of("[", |n| element(scattered(n)), "]")
    }

    fn of(&self, open: &str, piece: impl Fn(u64) -> String, close: &str) -> String {
        let mut body = format!("{OPEN}{open}");
        for n in 0.. {
            let piece = piece(n);
            if body.len() + 1 + piece.len() + close.len() + CLOSE.len() > self.bytes {
                break;
            }
            if n > 0 {
                body.push(',');
            }
            body.push_str(&piece);
        }
        body + close + CLOSE
    }

    /// `outer` as often as it fits with as many `behind`.
    fn nested(&self, before: &str, outer: &str, inner: &str, behind: &str) -> String {
        let around = [OPEN, before, inner, CLOSE].iter().map(|part| part.len()).sum::<usize>();
        let depth = (self.bytes - around) / (outer.len() + behind.len());
        [OPEN, before, &outer.repeat(depth), inner, &behind.repeat(depth), CLOSE].concat()
    }
}

/// Another number for each, in no order: 40 bits.
fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24
}
