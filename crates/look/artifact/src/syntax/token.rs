//! Words of Python and of Jinja expressions, which share nearly all of them.
//!
//! Tolerant: what is no token becomes [`Kind::Other`] and reading goes on, for a scanner must see what stands
//! behind a line that Python would refuse. Texts of strings are decoded, since a name hidden in escapes
//! (`"\x6f\x73"`) is the first thing an obfuscator writes.

/// What a token is. Texts are owned where they were decoded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Identifier or keyword, after NFKC as Python reads it.
    Name(String),
    /// Number as written, underscores removed.
    Number(String),
    /// String literal, escapes decoded.
    Text(String),
    /// Bytes literal, escapes decoded.
    Bytes(Vec<u8>),
    /// f-string body as written (raw), its `{}` parts read by the parser.
    Format(String),
    /// Operator or delimiter.
    Op(&'static str),
    /// End of a logical line.
    Newline,
    /// The next line stands deeper.
    Indent,
    /// The next line stands less deep.
    Dedent,
    /// A character that begins no token.
    Other(char),
}

/// A token and the 1-based line it begins on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// 1-based line.
    pub(crate) line: u32,
}

/// Longest first, so that the first that fits is the longest.
const OPERATORS: [&str; 49] = [
    "**=", "//=", ">>=", "<<=", "...", "!=", "==", "<=", ">=", "->", ":=", "+=", "-=", "*=", "/=", "%=", "&=", "|=",
    "^=", "@=", "**", "//", "<<", ">>", "<>", "+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">", "(", ")",
    "[", "]", "{", "}", ",", ":", ".", ";", "=", "!",
];

/// Deeper than CPython's own limit of 100 levels of indentation.
const INDENTS_MAX: usize = 200;

/// Which language's lines are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Lines and indentation matter; `#` begins a comment.
    Python,
    /// One expression: line ends are blanks.
    Jinja,
}

/// All tokens of `source`, at most `tokens_max`; the flag says whether that was all.
#[must_use]
pub(crate) fn tokens(source: &str, dialect: Dialect, tokens_max: usize) -> (Vec<Token>, bool) {
    let mut lexer = Lexer { rest: source, line: 1, out: Vec::new(), indents: vec![0], brackets: 0, dialect };
    let whole = lexer.run(tokens_max);
    (lexer.out, whole)
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    out: Vec<Token>,
    indents: Vec<usize>,
    brackets: usize,
    dialect: Dialect,
}

impl Lexer<'_> {
    fn run(&mut self, tokens_max: usize) -> bool {
        let mut line_start = self.dialect == Dialect::Python;
        while !self.rest.is_empty() {
            if self.out.len() >= tokens_max {
                return false;
            }
            if line_start && self.brackets == 0 {
                line_start = false;
                if self.indentation() {
                    line_start = true;
                    continue;
                }
            }
            let Some(first) = self.rest.chars().next() else { break };
            match first {
                '\n' => {
                    self.skip(1);
                    self.line = self.line.saturating_add(1);
                    if self.brackets == 0 && self.dialect == Dialect::Python {
                        self.push(Kind::Newline);
                        line_start = true;
                    }
                }
                '\\' if self.rest[1..].starts_with('\n') || self.rest[1..].starts_with("\r\n") => {
                    let bytes = if self.rest[1..].starts_with('\n') { 2 } else { 3 };
                    self.skip(bytes);
                    self.line = self.line.saturating_add(1);
                }
                c if c.is_whitespace() || c == '\u{feff}' => self.skip(c.len_utf8()),
                '#' if self.dialect == Dialect::Python => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.skip(end);
                }
                '"' | '\'' => self.string(""),
                c if c.is_alphabetic() || c == '_' => self.word(),
                c if c.is_ascii_digit() => self.number(),
                '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
                c => self.operator(c),
            }
        }
        if self.dialect == Dialect::Python {
            self.push(Kind::Newline);
            for _ in 1..self.indents.len() {
                self.push(Kind::Dedent);
            }
        }
        true
    }

    fn push(&mut self, kind: Kind) {
        self.out.push(Token { kind, line: self.line });
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Reads the blanks that begin a line; true for a line without code.
    fn indentation(&mut self) -> bool {
        let mut width = 0usize;
        let mut bytes = 0;
        for c in self.rest.chars() {
            match c {
                ' ' => width += 1,
                '\t' => width = (width / 8 + 1) * 8,
                '\x0c' => width = 0,
                '\r' => {}
                _ => break,
            }
            bytes += c.len_utf8();
        }
        self.skip(bytes);
        if self.rest.starts_with('#') {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.skip(end);
        }
        if self.rest.starts_with('\n') {
            self.skip(1);
            self.line = self.line.saturating_add(1);
            return true;
        }
        if self.rest.is_empty() {
            return true;
        }
        let current = self.indents.last().copied().unwrap_or(0);
        if width > current && self.indents.len() < INDENTS_MAX {
            self.indents.push(width);
            self.push(Kind::Indent);
        }
        while self.indents.len() > 1 && self.indents.last().is_some_and(|open| width < *open) {
            self.indents.pop();
            self.push(Kind::Dedent);
        }
        false
    }

    fn word(&mut self) {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        let is_prefix = end <= 2 && word.chars().all(|c| "rRbBuUfFtT".contains(c));
        if is_prefix && self.rest[end..].starts_with(['"', '\'']) && self.dialect == Dialect::Python {
            let prefix = word.to_ascii_lowercase();
            self.skip(end);
            self.string(&prefix);
            return;
        }
        // Python compares identifiers after NFKC: `𝓸𝓼` is `os`.
        let name = if word.is_ascii() {
            word.to_owned()
        } else {
            use unicode_normalization::UnicodeNormalization;
            word.nfkc().collect()
        };
        self.skip(end);
        self.push(Kind::Name(name));
    }

    fn number(&mut self) {
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        while let Some(byte) = bytes.get(end) {
            let exponent_sign = matches!(byte, b'+' | b'-')
                && matches!(bytes[end - 1], b'e' | b'E')
                && !(self.rest.starts_with("0x") || self.rest.starts_with("0X"));
            let digit = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
            // Jinja reads `x.0.name` and `1..` never: a second dot ends the number.
            let second_dot = *byte == b'.' && bytes[..end].contains(&b'.');
            if !(digit || (end > 0 && exponent_sign)) || second_dot {
                break;
            }
            end += 1;
        }
        let text: String = self.rest[..end].chars().filter(|c| *c != '_').collect();
        self.skip(end);
        self.push(Kind::Number(text));
    }

    fn operator(&mut self, first: char) {
        let Some(op) = OPERATORS.iter().find(|op| self.rest.starts_with(**op)) else {
            self.skip(first.len_utf8());
            self.push(Kind::Other(first));
            return;
        };
        match *op {
            "(" | "[" | "{" => self.brackets += 1,
            ")" | "]" | "}" => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.skip(op.len());
        self.push(Kind::Op(op));
    }

    fn string(&mut self, prefix: &str) {
        let quote = if self.rest.starts_with('"') { '"' } else { '\'' };
        let triple: &str = if quote == '"' { "\"\"\"" } else { "'''" };
        let is_triple = self.rest.starts_with(triple) && self.dialect == Dialect::Python;
        let opening = if is_triple { 3 } else { 1 };
        let body = &self.rest[opening..];
        let (length, closed) = body_length(body, quote, is_triple, self.dialect);
        let text = &body[..length];
        let kind = literal(text, prefix);
        let line = self.line;
        let lines = text.bytes().filter(|byte| *byte == b'\n').count();
        self.out.push(Token { kind, line });
        self.line = line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.skip(opening + length + if closed { opening } else { 0 });
    }
}

/// Length of a string's body, and whether its closing quotes follow.
fn body_length(body: &str, quote: char, is_triple: bool, dialect: Dialect) -> (usize, bool) {
    let bytes = body.as_bytes();
    let mark = quote as u8;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' => {
                at += 1;
                at += body.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
                continue;
            }
            b'\n' if !is_triple && dialect == Dialect::Python => return (at, false),
            b if b == mark => {
                let three = bytes.get(at + 1) == Some(&mark) && bytes.get(at + 2) == Some(&mark);
                if !is_triple || three {
                    return (at, true);
                }
            }
            _ => {}
        }
        at += 1;
    }
    (bytes.len(), false)
}

fn literal(text: &str, prefix: &str) -> Kind {
    let is_raw = prefix.contains('r');
    if prefix.contains('f') || prefix.contains('t') {
        return Kind::Format(text.to_owned());
    }
    if prefix.contains('b') {
        return Kind::Bytes(if is_raw { text.as_bytes().to_vec() } else { unescape_bytes(text) });
    }
    Kind::Text(if is_raw { text.to_owned() } else { unescape(text) })
}

/// Python's escapes of a text literal. Unknown ones stay as written, as in Python.
#[must_use]
pub(crate) fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(escape) = chars.next() else { break };
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let hex: String = chars.as_str().chars().take(digits).take_while(char::is_ascii_hexdigit).collect();
            if hex.len() == digits
                && let Some(c) = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32)
            {
                out.push(c);
                chars.nth(digits - 1);
                continue;
            }
        }
        match escape {
            '\n' => {}
            '\r' => {
                if chars.as_str().starts_with('\n') {
                    chars.next();
                }
            }
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'v' => out.push('\x0b'),
            '\\' | '\'' | '"' => out.push(escape),
            '0'..='7' => {
                let more: String = chars.as_str().chars().take(2).take_while(|c| ('0'..='7').contains(c)).collect();
                if !more.is_empty() {
                    chars.nth(more.len() - 1);
                }
                let value = u32::from_str_radix(&format!("{escape}{more}"), 8).unwrap_or(0);
                out.extend(char::from_u32(value));
            }
            _ => {
                out.push('\\');
                out.push(escape);
            }
        }
    }
    out
}

/// Escapes of a bytes literal: code points above 255 cannot stand there and are written as UTF-8.
fn unescape_bytes(text: &str) -> Vec<u8> {
    unescape(text)
        .chars()
        .flat_map(|c| match u8::try_from(u32::from(c)) {
            Ok(byte) => vec![byte],
            Err(_) => c.to_string().into_bytes(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<Kind> {
        tokens(source, Dialect::Python, 1000).0.into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn names_and_strings_are_read_as_python_reads_them() {
        assert_eq!(kinds("𝓸𝓼")[0], Kind::Name("os".to_owned()));
        assert_eq!(kinds(r#""\x6f\163\u0078""#)[0], Kind::Text("osx".to_owned()));
        assert_eq!(kinds(r"rb'\x00'")[0], Kind::Bytes(b"\\x00".to_vec()));
        assert_eq!(kinds("'''a\nb'''")[0], Kind::Text("a\nb".to_owned()));
    }

    #[test]
    fn lines_and_indentation() {
        let found = kinds("if a:\n    b\n\n# note\nc\n");
        let expected = [
            Kind::Name("if".into()),
            Kind::Name("a".into()),
            Kind::Op(":"),
            Kind::Newline,
            Kind::Indent,
            Kind::Name("b".into()),
            Kind::Newline,
            Kind::Dedent,
            Kind::Name("c".into()),
            Kind::Newline,
            Kind::Newline,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn broken_text_ends() {
        for source in ["'", "\"\\", "b'\\", "0x", "1e", "\\", "'''", "\\\r", "é\\"] {
            let _ = tokens(source, Dialect::Python, 100);
            let _ = tokens(source, Dialect::Jinja, 100);
        }
    }
}
