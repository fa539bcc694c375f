//! The same random texts read and printed by `node` and by us: both must refuse the same ones, and print the others alike.
//!
//! `AGAINST_NODE_TEXTS` sets how many, `AGAINST_NODE_SEED` which ones. A failure names the text by seed and number.

use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::process::{Command, Stdio};
use std::thread;

use json::{Document, Order};

/// 3,000 documents, and 600 texts that are damaged or never were JSON: a few seconds in the dev profile.
const TEXTS: u64 = 3_600;
const SEED: u64 = 0x0072_696c_6c69_7301;

#[test]
fn node_reads_and_prints_every_text_as_we_do() {
    let texts = setting("AGAINST_NODE_TEXTS").unwrap_or(TEXTS);
    let seed = setting("AGAINST_NODE_SEED").unwrap_or(SEED);
    let node = Command::new("node")
        .args(["--input-type=module", "--eval", include_str!("against_node.mjs")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut node = match node {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("LEFT OUT: the comparison with JavaScript needs `node` on the PATH, and there is none");
            return;
        }
        node => node.unwrap(),
    };

    // One thread asks while this one reads the answers; the texts are made twice rather than kept.
    let mut asked = BufWriter::new(node.stdin.take().unwrap());
    let asking = thread::spawn(move || {
        for number in 0..texts {
            writeln!(asked, "{}", to_hex(&text(seed, number))).unwrap();
        }
    });
    let mut answers = BufReader::new(node.stdout.take().unwrap()).lines();
    let mut refused = 0;
    for number in 0..texts {
        let text = text(seed, number);
        let answer = answers.next().expect("an answer to each text").unwrap();
        let theirs: Option<Vec<Vec<u8>>> = (answer != "refused").then(|| answer.split(' ').map(from_hex).collect());
        refused += u64::from(theirs.is_none());
        let ours = ours(&text);
        if theirs != ours {
            panic!(
                "seed {seed}, text {number}: {}\n{}",
                difference(theirs.as_deref(), ours.as_deref()),
                text.escape_ascii()
            );
        }
    }
    asking.join().unwrap();
    assert!(node.wait().unwrap().success());
    eprintln!("seed {seed}: node and we agree on {texts} texts; both refused {refused} of them");
    assert!(refused >= texts / 10 && refused <= texts / 6, "the generator is off: {refused} of {texts} refused");
}

fn ours(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let document = Document::parse(text).ok()?;
    let orders = [Order::Received, Order::SortedAndAssigned, Order::Sorted];
    orders.iter().map(|order| Some(document.root().print(*order, usize::MAX)?.into_bytes())).collect()
}

fn difference(theirs: Option<&[Vec<u8>]>, ours: Option<&[Vec<u8>]>) -> String {
    let (Some(theirs), Some(ours)) = (theirs, ours) else {
        return if ours.is_some() { "node refuses what we read" } else { "we refuse what node reads" }.to_owned();
    };
    let mut differences = String::new();
    for (spelling, (theirs, ours)) in ["stringified", "rebuilt", "built"].iter().zip(theirs.iter().zip(ours)) {
        let at = theirs.iter().zip(ours).take_while(|(their, our)| their == our).count();
        if theirs != ours {
            let around = |text: &[u8]| text[at.saturating_sub(40)..text.len().min(at + 60)].escape_ascii().to_string();
            differences += &format!("{spelling} at {at}\n  node …{}…\n  we   …{}…\n", around(theirs), around(ours));
        }
    }
    differences
}

/// Text `number` of a seed: a document, or every sixth time one that was damaged or never was one.
fn text(seed: u64, number: u64) -> Vec<u8> {
    let random = Random(seed ^ number.wrapping_mul(0xA076_1D64_78BD_642F));
    let mut writer = Writer { random, out: Vec::new(), left: 0 };
    writer.left = writer.random.below(60) + 1;
    if number % 6 != 5 {
        writer.document();
    } else if writer.random.one_in(3) {
        writer.near_miss();
    } else {
        writer.document();
        writer.damage();
    }
    writer.out
}

/// Writes random JSON of every form that was ever read or printed differently by two programs.
struct Writer {
    random: Random,
    out: Vec<u8>,
    /// How many more values may be started.
    left: u64,
}

impl Writer {
    fn document(&mut self) {
        self.space();
        if self.random.one_in(25) {
            self.deep_value();
        } else {
            self.value(0);
        }
        self.space();
    }

    fn value(&mut self, depth: u64) {
        self.left = self.left.saturating_sub(1);
        let may_hold_more = self.left > 0 && depth < 12;
        match self.random.below(if depth == 0 { 5 } else { 10 }) {
            0..=2 if may_hold_more => self.object(depth),
            3..=4 if may_hold_more => self.array(depth),
            5..=6 => self.string(),
            7 => self.put_one_of(&["true", "false", "null", "0", "-0", "\"\"", "{}", "[]"]),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: u64) {
        // Now and then more members than are compared each with each.
        let members = if self.random.one_in(20) { 17 + self.random.below(40) } else { self.random.below(9) };
        self.put("{");
        for member in 0..members {
            if member > 0 {
                self.put(",");
            }
            self.space();
            self.key();
            self.space();
            self.put(":");
            self.space();
            self.value(depth + 1);
            self.space();
        }
        self.put("}");
    }

    fn array(&mut self, depth: u64) {
        self.put("[");
        for element in 0..self.random.below(7) {
            if element > 0 {
                self.put(",");
            }
            self.space();
            self.value(depth + 1);
            self.space();
        }
        self.put("]");
    }

    /// Up to a few hundred containers, one in the other.
    fn deep_value(&mut self) {
        let mut ends = Vec::new();
        for _ in 0..self.random.below(400) {
            if self.random.one_in(2) {
                self.put("[");
                ends.push("]");
            } else {
                self.put("{");
                self.key();
                self.put(":");
                ends.push("}");
            }
        }
        self.value(11);
        while let Some(end) = ends.pop() {
            if self.random.one_in(8) {
                self.put(",");
                if end == "}" {
                    self.key();
                    self.put(":");
                }
                self.value(11);
            }
            self.put(end);
        }
    }

    fn key(&mut self) {
        match self.random.below(8) {
            // Few different ones, so that there are duplicates, spelled in more than one way.
            0..=1 => self.put_one_of(&["\"a\"", "\"b\"", "\"\\u0061\"", "\"\\u0062\"", "\"\"", "\"é\"", "\"\\u00E9\""]),
            2 => self.put_one_of(&[
                "\"__proto__\"",
                "\"__proto__\"",
                "\"\\u005f_proto__\"",
                "\"__proto\"",
                "\"constructor\"",
                "\"toJSON\"",
                "\"toString\"",
                "\"length\"",
            ]),
            3 => self.put_one_of(&[
                "\"0\"",
                "\"1\"",
                "\"9\"",
                "\"10\"",
                "\"\\u0031\"",
                "\"00\"",
                "\"01\"",
                "\"-0\"",
                "\"-1\"",
                "\"+1\"",
                "\"1.5\"",
                "\"1e3\"",
                "\" 1\"",
                "\"1 \"",
                "\"１\"",
                "\"NaN\"",
                "\"2147483647\"",
                "\"2147483648\"",
            ]),
            4 => {
                let near: u64 = self.random.pick(&[0, 10, 1 << 31, (1 << 32) - 2, (1 << 53) - 1, 10_000_000_000]);
                let number = (near + self.random.below(5)).saturating_sub(2);
                self.put(&format!("\"{number}\""));
            }
            5 => {
                let number = self.random.next() >> self.random.below(64);
                self.put(&format!("\"{number}\""));
            }
            _ => self.string(),
        }
    }

    fn string(&mut self) {
        self.put("\"");
        let length = if self.random.one_in(10) { self.random.below(60) } else { self.random.below(6) };
        for _ in 0..length {
            self.character();
        }
        self.put("\"");
    }

    fn character(&mut self) {
        match self.random.below(12) {
            0..=4 => {
                let letter = self.random.range(0x20, 0x7F);
                match letter {
                    0x22 | 0x5C => self.put(&format!("\\{}", letter as u8 as char)),
                    _ => self.out.push(letter as u8),
                }
            }
            5 => self.put_one_of(&["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"]),
            6 => self
                .put_one_of(&["\u{7f}", "\u{80}", "é", "\u{7ff}", "\u{800}", "\u{2028}", "\u{2029}", "\u{feff}", "€"]),
            // On both sides of the surrogates, where UTF-8 and UTF-16 sort differently.
            7 => {
                let point = match self.random.below(4) {
                    0 => self.random.range(0xD7F0, 0xD800),
                    1 => self.random.range(0xE000, 0x1_0000),
                    2 => self.random.pick(&[0xE000, 0xFFFD, 0xFFFF, 0x1_0000, 0x1_F600, 0x10_FFFF]),
                    _ => self.random.range(0x1_0000, 0x11_0000),
                };
                self.put(&char::from_u32(point as u32).expect("no surrogate").to_string());
            }
            8 => {
                let unit = self.random.range(0, 0x80);
                self.escaped_unit(unit);
            }
            9 => {
                let unit = self.random.range(0, 0x1_0000);
                self.escaped_unit(unit);
            }
            // Surrogates: a pair, or one alone, or the wrong way round.
            10 => {
                let (high, low) = (self.random.range(0xD800, 0xDC00), self.random.range(0xDC00, 0xE000));
                self.escaped_unit(high);
                self.escaped_unit(low);
            }
            _ => {
                let unit = self.random.range(0xD800, 0xE000);
                self.escaped_unit(unit);
            }
        }
    }

    fn escaped_unit(&mut self, unit: u64) {
        let escaped = if self.random.one_in(2) { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") };
        self.put(&escaped);
    }

    fn number(&mut self) {
        let literal = match self.random.below(10) {
            0 => (self.random.below(2_000) as i64 - 1_000).to_string(),
            1 => format!("{}.{:02}", self.random.below(100_000), self.random.below(100)),
            2 => self.any_literal(),
            3 => {
                const CORNERS: &[&str] = &[
                    "-0",
                    "-0.0",
                    "0e9",
                    "-0E-9",
                    "1e400",
                    "-1e400",
                    "1e309",
                    "1.7976931348623157e308",
                    "1.7976931348623158e308",
                    "1.7976931348623159e308",
                    "5e-324",
                    "4.9e-324",
                    "2.4703282292062327e-324",
                    "2.4703282292062328e-324",
                    "1e-400",
                    "2.2250738585072011e-308",
                    "2.2250738585072014e-308",
                    "1e20",
                    "1e21",
                    "1E+21",
                    "1e22",
                    "1e23",
                    "999999999999999868928",
                    "999999999999999934464",
                    "999999999999999934465",
                    "123456789012345680000",
                    "1e-6",
                    "1e-7",
                    "0.000001",
                    "0.00000123",
                    "9.5e-7",
                    "9007199254740991",
                    "9007199254740992",
                    "9007199254740993",
                    "9007199254740993.0000000000000000001",
                    "123456789012345",
                    "1234567890123456",
                    "999999999999999",
                    "-999999999999999",
                    "1000000000000000",
                    "0.1",
                    "0.30000000000000004",
                    "1.5777777777770001",
                    "117.63331139400017",
                    "12345678901234567890",
                    "1e99999999999999999999",
                    "1e-99999999999999999999",
                    "0.000000000000000000000000000000000000000000001e45",
                    "100000000000000000000000e-23",
                    "1000.00",
                    "1e3",
                    "1E-03",
                    "1e+00",
                ];
                self.random.pick(CORNERS).to_owned()
            }
            4 => {
                // Exactly between two numbers of 53 bits, and a little beside.
                let even = self.random.range(1 << 52, 1 << 53);
                let shift = self.random.below(60) as u32;
                let halfway = (u128::from(even) * 2 + 1) << shift;
                match self.random.below(4) {
                    0 => format!("{halfway}"),
                    1 => format!("{halfway}.{}1", "0".repeat(self.random.below(900) as usize)),
                    2 => format!("{}", halfway - 1),
                    _ => format!("{halfway}0e-1"),
                }
            }
            5 => {
                // Often exactly between two shorter decimals.
                let number = (self.random.next() >> self.random.range(8, 20)) as f64;
                format!("{}", number / self.random.pick(&[2.0, 4.0, 8.0, 16.0, 1024.0]))
            }
            _ => {
                let number = f64::from_bits(self.random.next());
                let number = if number.is_finite() { number } else { self.random.next() as f64 };
                match self.random.below(6) {
                    0 => format!("{number:e}"),
                    1 => format!("{number:E}").replace('E', "E+").replace("+-", "-"),
                    2 => format!("{number}"),
                    3 => format!("{number:.17e}"),
                    4 => format!("{number:.25e}"),
                    _ => {
                        let power = 10_f64.powi(self.random.below(50) as i32 - 25);
                        format!("{:?}", (self.random.next() >> 11) as f64 / (1_u64 << 53) as f64 * power)
                    }
                }
            }
        };
        self.put(&literal);
    }

    /// Any literal that the grammar allows, up to dozens of digits.
    fn any_literal(&mut self) -> String {
        let mut literal = String::new();
        let digits = |random: &mut Random, literal: &mut String, at_most: u64| {
            for _ in 0..=random.below(at_most) {
                literal.push(char::from(b'0' + random.below(10) as u8));
            }
        };
        if self.random.one_in(3) {
            literal.push('-');
        }
        if self.random.one_in(3) {
            literal.push('0');
        } else {
            literal.push(char::from(b'1' + self.random.below(9) as u8));
            digits(&mut self.random, &mut literal, 24);
        }
        if self.random.one_in(2) {
            literal.push('.');
            digits(&mut self.random, &mut literal, 30);
        }
        if self.random.one_in(2) {
            literal.push_str(self.random.pick(&["e", "E", "e+", "E+", "e-", "E-"]));
            digits(&mut self.random, &mut literal, 3);
        }
        literal
    }

    fn space(&mut self) {
        if self.random.one_in(4) {
            for _ in 0..self.random.below(4) {
                self.put_one_of(&[" ", " ", "\t", "\n", "\r", "\r\n"]);
            }
        }
    }

    /// Breaks the text in a few places; now and then it stays whole.
    fn damage(&mut self) {
        const ODD: &[&[u8]] = &[
            b",",
            b":",
            b"\"",
            b"\\",
            b"{",
            b"}",
            b"[",
            b"]",
            b"0",
            b"-",
            b"+",
            b".",
            b"e",
            b"u",
            b"\\u",
            b"\\x",
            b"'",
            b"/",
            b"//",
            b"\0",
            b"\x1f",
            b"\x0b",
            b"\x0c",
            b"\n",
            b"\x7f",
            b"\xc2\xa0",
            b"\xe2\x80\xa8",
            b"\xef\xbb\xbf",
            b"\x80",
            b"\xff",
            b"\xc0\x80",
            b"\xc3",
            b"\xed\xa0\x80",
            b"\xe2\x82",
            b"\xf0\x9f\x98",
            b"\xf4\x90\x80\x80",
            b"NaN",
            b"null",
            b"tru",
            b"1",
            b"01",
        ];
        for _ in 0..=self.random.below(3) {
            let at = self.random.below(self.out.len() as u64 + 1) as usize;
            let upto = (at + 1 + self.random.below(3) as usize).min(self.out.len());
            match self.random.below(6) {
                0 => drop(self.out.drain(at..upto)),
                1 => self.out.truncate(at),
                2 => self.out.extend_from_within(at..upto),
                3 if at < upto => self.out[at] ^= 1 << self.random.below(8),
                _ => {
                    let odd = self.random.pick(ODD);
                    self.out.splice(at..at, odd.iter().copied());
                }
            }
        }
    }

    /// What other readers take for JSON.
    fn near_miss(&mut self) {
        self.put_one_of(&[
            "",
            " ",
            "\u{feff}{}",
            "{}\u{feff}",
            "\u{a0}1",
            "1\u{2028}",
            "\u{b}1",
            "1\u{c}",
            "01",
            "-01",
            "00",
            "1.",
            ".5",
            "-.5",
            "+1",
            "-",
            "--1",
            "1e",
            "1e+",
            "1e1.5",
            "0x1F",
            "1_000",
            "1n",
            "NaN",
            "Infinity",
            "-Infinity",
            "undefined",
            "True",
            "nul",
            "nulll",
            "truefalse",
            "'a'",
            "`a`",
            "\"",
            "\"a",
            "\"\\\"",
            "\"\t\"",
            "\"\n\"",
            "\"\0\"",
            "\"\\x41\"",
            "\"\\u12g4\"",
            "\"\\u123\"",
            "\"\\u{41}\"",
            "\"\\U0041\"",
            "\"\\'\"",
            "\"\\0\"",
            "\"\\u 041\"",
            "\"\\u+041\"",
            "\"\\u-041\"",
            "[",
            "]",
            "[1",
            "[1,]",
            "[,1]",
            "[,]",
            "[1 2]",
            "[1}",
            "[1]]",
            "{",
            "}",
            "{,}",
            "{1:2}",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1]",
            "{\"a\",1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\"::1}",
            "{\"a\":1,,\"b\":2}",
            "{'a':1}",
            "// a\n1",
            "1//",
            "/**/1",
            "1 2",
            "{}{}",
            "[]\0",
            "\"a\"\"b\"",
        ]);
        if self.random.one_in(4) {
            let refused: &[&[u8]] =
                &[b"\"\x80\"", b"\"\xff\"", b"\"\xc0\xaf\"", b"\"\xed\xbf\xbf\"", b"\xfe\xff\0[\0]"];
            self.out = self.random.pick(refused).to_vec();
        }
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn put_one_of(&mut self, texts: &[&str]) {
        let text = self.random.pick(texts);
        self.put(text);
    }
}

/// SplitMix64: the same texts from the same seed, whatever the version of a library.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

// Loops rather than iterators: in the dev profile these two would take most of the time.

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    String::from_utf8(text).expect("hex digits")
}

fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.as_bytes().chunks_exact(2) {
        let digit = |letter: u8| if letter < b'a' { letter - b'0' } else { letter - b'a' + 10 };
        bytes.push(digit(pair[0]) << 4 | digit(pair[1]));
    }
    bytes
}
