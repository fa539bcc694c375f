//! The spellings that a body may have had when it was signed: what parsers, printers, editors and proxies make of it.

use std::borrow::Cow;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json::{Document, Kind};

/// One way in which what was signed differs from what the bridge expects.
#[derive(Clone, Debug)]
pub(super) struct Departure {
    pub(super) code: &'static str,
    pub(super) words: String,
}

/// One way to spell the body. It is made when asked for: all of them at once would be hundreds of bodies.
pub(super) struct Spelling<'b> {
    recipe: Recipe<'b>,
    /// How it differs from the body as captured, in words that go on "the signature is over the body ...".
    pub(super) departures: Vec<Departure>,
}

enum Recipe<'b> {
    Bytes(Vec<u8>),
    Printed { tree: Rc<Node<'b>>, style: Style },
}

/// How a JSON text is printed.
#[derive(Clone, Copy)]
struct Style {
    order: Order,
    layout: Layout,
    numbers: Numbers,
    strings: Strings,
}

/// The order of an object's members.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Order {
    Received,
    /// By UTF-16 code unit, as JavaScript and RFC 8785 sort.
    Sorted,
    /// By byte of UTF-8, as Go, Rust and Python (for nearly all keys) sort.
    SortedByBytes,
    SortedAtTheTop,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Layout {
    Compact,
    /// `", "` and `": "`: Python's `json.dumps` without arguments.
    Spaced,
    Indented(&'static str),
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Numbers {
    Received,
    /// Through a double and printed as JavaScript does: `1000.00` becomes `1000`.
    JavaScript,
    /// Through a double that stays one: `1000.00` becomes `1000.0`.
    Python,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Strings {
    Received,
    /// Escaped only where it must be.
    Plain,
    /// Everything that is not ASCII as `\uXXXX`, as Python prints.
    Ascii,
    /// `/` as `\/`, as PHP prints with JSON_UNESCAPED_UNICODE.
    Slashes,
    /// Both, as PHP prints.
    AsciiAndSlashes,
    /// `<`, `>` and `&` as `\u00XX`, as Go prints.
    Html,
}

/// Nested deeper, a body is only tried as it came: no provider's goes below ten.
const MAX_DEPTH: usize = 64;

/// Every spelling that is tried, the body as captured first.
pub(super) fn of(body: &[u8]) -> Vec<Spelling<'_>> {
    let mut all = vec![Spelling { recipe: Recipe::Bytes(body.to_vec()), departures: Vec::new() }];
    all.extend(edited(body));
    all.extend(printed(body));
    all
}

impl Spelling<'_> {
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.recipe {
            Recipe::Bytes(bytes) => Cow::Borrowed(bytes),
            Recipe::Printed { tree, style } => {
                let mut text = String::new();
                style.print(tree, 0, &mut text);
                Cow::Owned(text.into_bytes())
            }
        }
    }
}

/// What happens to bytes on their way without a program that reads them.
fn edited(body: &[u8]) -> Vec<Spelling<'static>> {
    let mut all = Vec::new();
    let mut with = |bytes: Vec<u8>, code, words: &str| {
        if bytes != body {
            let departures = vec![Departure { code, words: words.to_owned() }];
            all.push(Spelling { recipe: Recipe::Bytes(bytes), departures });
        }
    };
    let text = String::from_utf8_lossy(body);
    let without_end = body.strip_suffix(b"\r\n").or_else(|| body.strip_suffix(b"\n")).unwrap_or(body);
    with(without_end.to_vec(), "body_newline_added", "without the newline at its end: something on the way added it");
    with([body, b"\n"].concat(), "body_newline_cut", "with a newline at its end: something on the way cut it");
    with([body, b"\r\n"].concat(), "body_newline_cut", "with CR LF at its end: something on the way cut it");
    let trimmed = body.trim_ascii().to_vec();
    with(trimmed, "body_not_trimmed", "without the white space around it: something on the way added it");
    let unix = text.replace("\r\n", "\n");
    with(
        unix.replace('\n', "\r\n").into_bytes(),
        "body_crlf",
        "with CR LF at its line ends: they were made LF on the way",
    );
    with(unix.into_bytes(), "body_lf", "with LF at its line ends: they were made CR LF on the way");
    let mark = "\u{feff}".as_bytes();
    with([mark, body].concat(), "body_mark_cut", "with a byte order mark before it: something on the way cut it");
    let unmarked = body.strip_prefix(mark).unwrap_or(body);
    with(unmarked.to_vec(), "body_mark_added", "without the byte order mark before it: something on the way added it");
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    if let Some(bytes) = latin1 {
        with(bytes, "body_charset", "in UTF-8: on the way it was read as Latin-1 and written as UTF-8 again");
    }
    if let Ok(document) = Document::parse(body)
        && let Some(inner) = document.root().text()
    {
        with(
            inner.as_bytes().to_vec(),
            "body_quoted",
            "inside this JSON string: it was printed as a string on the way",
        );
    }
    if let Ok(decoded) = STANDARD.decode(body.trim_ascii()) {
        with(decoded, "body_base64", "that this base64 holds: what was captured is encoded");
    }
    all
}

/// What parsing and printing makes of the body, in every style.
fn printed(body: &[u8]) -> Vec<Spelling<'_>> {
    let Some(tree) = Node::read(body).map(Rc::new) else {
        return Vec::new();
    };
    let layouts =
        [Layout::Compact, Layout::Spaced, Layout::Indented("  "), Layout::Indented("    "), Layout::Indented("\t")];
    let own_layout = layouts.into_iter().find(|layout| {
        let style =
            Style { order: Order::Received, layout: *layout, numbers: Numbers::Received, strings: Strings::Received };
        let mut text = String::new();
        style.print(&tree, 0, &mut text);
        text.as_bytes() == body
    });

    let mut all = Vec::new();
    for layout in layouts {
        for order in [Order::Received, Order::Sorted, Order::SortedByBytes, Order::SortedAtTheTop] {
            for numbers in [Numbers::Received, Numbers::JavaScript, Numbers::Python] {
                for strings in [
                    Strings::Received,
                    Strings::Plain,
                    Strings::Ascii,
                    Strings::Slashes,
                    Strings::AsciiAndSlashes,
                    Strings::Html,
                ] {
                    let style = Style { order, layout, numbers, strings };
                    let words = [
                        ("body_whitespace", layout.words().filter(|_| Some(layout) != own_layout)),
                        ("body_order", order.words()),
                        ("body_numbers", numbers.words()),
                        ("body_escapes", strings.words()),
                    ];
                    let departures = words
                        .into_iter()
                        .filter_map(|(code, words)| Some(Departure { code, words: words?.to_owned() }))
                        .collect();
                    all.push(Spelling { recipe: Recipe::Printed { tree: tree.clone(), style }, departures });
                }
            }
        }
    }
    all
}

impl Order {
    fn words(self) -> Option<&'static str> {
        match self {
            Self::Received => None,
            Self::Sorted => Some("with its keys sorted"),
            Self::SortedByBytes => Some("with its keys sorted by their UTF-8 bytes"),
            Self::SortedAtTheTop => Some("with the keys of the outermost object sorted"),
        }
    }

    fn arrange<'n, 'b>(self, members: &'n [Member<'b>], depth: usize) -> Vec<&'n Member<'b>> {
        let mut members: Vec<_> = members.iter().collect();
        let by_units = |a: &&Member<'_>, b: &&Member<'_>| a.name.encode_utf16().cmp(b.name.encode_utf16());
        match self {
            Self::Received => {}
            Self::Sorted => members.sort_by(by_units),
            Self::SortedByBytes => members.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes())),
            Self::SortedAtTheTop if depth == 0 => members.sort_by(by_units),
            Self::SortedAtTheTop => {}
        }
        members
    }
}

impl Layout {
    fn words(self) -> Option<&'static str> {
        Some(match self {
            Self::Compact => "without white space",
            Self::Spaced => "with a space after each comma and colon",
            Self::Indented("\t") => "indented by tabs",
            Self::Indented(indent) if indent.len() == 2 => "indented by 2",
            Self::Indented(_) => "indented by 4",
        })
    }

    fn comma(self, depth: usize) -> String {
        match self {
            Self::Compact => ",".to_owned(),
            Self::Spaced => ", ".to_owned(),
            Self::Indented(_) => format!(",{}", self.line(depth)),
        }
    }

    fn colon(self) -> &'static str {
        if self == Self::Compact { ":" } else { ": " }
    }

    /// What stands before the first and after the last member.
    fn line(self, depth: usize) -> String {
        match self {
            Self::Indented(indent) => format!("\n{}", indent.repeat(depth)),
            _ => String::new(),
        }
    }
}

impl Numbers {
    fn words(self) -> Option<&'static str> {
        match self {
            Self::Received => None,
            Self::JavaScript => Some("with its numbers as JavaScript prints them (1000.00 as 1000)"),
            Self::Python => Some("with its numbers as Python prints them (1000.00 as 1000.0)"),
        }
    }

    fn print(self, literal: &str, out: &mut String) {
        let is_float = literal.contains(['.', 'e', 'E']);
        match (self, literal.parse::<f64>()) {
            (Self::JavaScript, _) => out.push_str(&as_javascript_prints(literal)),
            (Self::Python, Ok(number)) if is_float => out.push_str(&format!("{number:?}")),
            _ => out.push_str(literal),
        }
    }
}

impl Strings {
    fn words(self) -> Option<&'static str> {
        match self {
            Self::Received => None,
            Self::Plain => Some("with no escape in its strings that is not needed"),
            Self::Ascii => Some("with all that is not ASCII as \\uXXXX"),
            Self::Slashes => Some("with / as \\/"),
            Self::AsciiAndSlashes => Some("with / as \\/ and all that is not ASCII as \\uXXXX"),
            Self::Html => Some("with <, > and & as \\u00XX"),
        }
    }

    fn print(self, literal: &str, out: &mut String) {
        if self == Self::Received {
            return out.push_str(literal);
        }
        let ascii = matches!(self, Self::Ascii | Self::AsciiAndSlashes);
        let slashes = matches!(self, Self::Slashes | Self::AsciiAndSlashes);
        for c in as_javascript_prints(literal).chars() {
            let escaped = match c {
                '/' if slashes => {
                    out.push_str("\\/");
                    continue;
                }
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => self == Self::Html || (ascii && !c.is_ascii()),
                c => ascii && !c.is_ascii(),
            };
            if escaped {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                out.push(c);
            }
        }
    }
}

/// A literal that was read and printed again.
fn as_javascript_prints(literal: &str) -> String {
    Document::parse(literal.as_bytes()).map_or_else(|_| literal.to_owned(), |document| document.root().stringify())
}

impl Style {
    fn print(self, node: &Node<'_>, depth: usize, out: &mut String) {
        match node {
            Node::Literal(literal) if literal.starts_with('"') => self.strings.print(literal, out),
            Node::Literal(literal) => match literal.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
                true => self.numbers.print(literal, out),
                false => out.push_str(literal),
            },
            Node::Array(elements) if elements.is_empty() => out.push_str("[]"),
            Node::Array(elements) => {
                out.push('[');
                out.push_str(&self.layout.line(depth + 1));
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push_str(&self.layout.comma(depth + 1));
                    }
                    self.print(element, depth + 1, out);
                }
                out.push_str(&self.layout.line(depth));
                out.push(']');
            }
            Node::Object(members) if members.is_empty() => out.push_str("{}"),
            Node::Object(members) => {
                out.push('{');
                out.push_str(&self.layout.line(depth + 1));
                for (at, member) in self.order.arrange(members, depth).into_iter().enumerate() {
                    if at > 0 {
                        out.push_str(&self.layout.comma(depth + 1));
                    }
                    self.strings.print(member.literal, out);
                    out.push_str(self.layout.colon());
                    self.print(&member.value, depth + 1, out);
                }
                out.push_str(&self.layout.line(depth));
                out.push('}');
            }
        }
    }
}

/// A JSON text with every literal as it was written, which [`Document`] keeps for values alone.
enum Node<'b> {
    Literal(&'b str),
    Array(Vec<Node<'b>>),
    Object(Vec<Member<'b>>),
}

struct Member<'b> {
    literal: &'b str,
    name: String,
    value: Node<'b>,
}

impl<'b> Node<'b> {
    /// `None` for what is not JSON, is a bare literal, or is nested too deeply.
    fn read(body: &'b [u8]) -> Option<Self> {
        let document = Document::parse(body).ok()?;
        if !matches!(document.root().kind(), Kind::Object | Kind::Array) {
            return None;
        }
        // It is sound: from here on a character shows what follows.
        Reader { rest: str::from_utf8(body).ok()? }.node(0)
    }
}

struct Reader<'b> {
    rest: &'b str,
}

impl<'b> Reader<'b> {
    fn node(&mut self, depth: usize) -> Option<Node<'b>> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            '{' => {
                self.skip();
                let mut members = Vec::new();
                while self.peek()? != '}' {
                    let literal = self.literal()?;
                    let name = Document::parse(literal.as_bytes()).ok()?;
                    let name = name.root().text().map_or_else(|| literal.to_owned(), Cow::into_owned);
                    self.peek()?;
                    self.skip();
                    members.push(Member { literal, name, value: self.node(depth + 1)? });
                    if self.peek()? == ',' {
                        self.skip();
                    }
                }
                self.skip();
                Some(Node::Object(members))
            }
            '[' => {
                self.skip();
                let mut elements = Vec::new();
                while self.peek()? != ']' {
                    elements.push(self.node(depth + 1)?);
                    if self.peek()? == ',' {
                        self.skip();
                    }
                }
                self.skip();
                Some(Node::Array(elements))
            }
            _ => self.literal().map(Node::Literal),
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.chars().next()
    }

    /// Over one character of punctuation.
    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn literal(&mut self) -> Option<&'b str> {
        self.peek()?;
        let bytes = self.rest.as_bytes();
        let end = if bytes.first() == Some(&b'"') {
            let mut at = 1;
            while *bytes.get(at)? != b'"' {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            at + 1
        } else {
            bytes.iter().position(|byte| b",]} \t\r\n".contains(byte)).unwrap_or(bytes.len())
        };
        let (literal, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(literal)
    }
}
