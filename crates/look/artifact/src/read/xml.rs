//! XML (<https://www.w3.org/TR/xml/>), enough to see what a parser would be told to do.
//!
//! Entities are never expanded and nothing is ever fetched: a document type with entities is a finding,
//! not a feature. Tolerant about everything else.

use crate::source::{Source, Tape};
use crate::unread::Unread;
use crate::{Budget, Limit};

/// One tag, document type or comment.
const MARKUP_BYTES_MAX: usize = 4 << 20;
/// Text of one element that is kept.
const TEXT_BYTES_KEPT: usize = 1 << 20;
/// UTF-16 is decoded in memory.
const UTF16_BYTES_MAX: usize = 32 << 20;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// `<!DOCTYPE …>`, its inner subset included.
    Doctype(String),
    /// `<?target …?>`, the declaration apart.
    Instruction(String),
    /// `<name a="b">`; the name without its prefix.
    Start { name: String, attributes: Vec<(String, String)>, prefix: String },
    /// `</name>`, or the end of `<name/>`.
    End,
    /// Text or CDATA between tags, cut.
    Text(String),
}

/// Whether the bytes begin as XML does.
#[must_use]
pub(crate) fn begins(head: &[u8]) -> bool {
    let text = super::text::decode(head);
    let start = text.trim_start();
    start.starts_with("<?xml")
        || start.starts_with("<!DOCTYPE")
        || (start.starts_with('<') && start[1..].starts_with(|c: char| c.is_alphabetic()))
}

/// The name of the first element, without its prefix.
#[must_use]
pub(crate) fn root_name(head: &[u8]) -> Option<String> {
    let budget = Budget::new(crate::Limits::default());
    let mut reader = Reader::new(&Source::memory(head.to_vec()), &budget).ok()?;
    while let Ok(Some(event)) = reader.next() {
        if let Event::Start { name, .. } = event {
            return Some(name);
        }
    }
    None
}

/// Reads a document event by event.
pub(crate) struct Reader<'a> {
    tape: Tape,
    budget: &'a Budget,
    pending_end: bool,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `source`.
    ///
    /// # Errors
    /// When it is UTF-16 too long to decode, or cannot be read.
    pub(crate) fn new(source: &Source, budget: &'a Budget) -> Result<Self, Unread> {
        let head = source.head(4)?;
        let is_wide = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
        let source = if is_wide {
            let bytes = source.all("bytes of an UTF-16 document", UTF16_BYTES_MAX)?;
            Source::memory(super::text::decode(&bytes).into_bytes())
        } else {
            source.clone()
        };
        Ok(Self { tape: Tape::new(source), budget, pending_end: false })
    }

    /// Where the next event begins.
    #[must_use]
    pub(crate) fn offset(&self) -> u64 {
        self.tape.offset()
    }

    /// The next event; none at the end.
    ///
    /// # Errors
    /// When markup does not end, or a budget does.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Unread> {
        if self.pending_end {
            self.pending_end = false;
            return Ok(Some(Event::End));
        }
        loop {
            self.budget.steps(1)?;
            if self.tape.fill(9)? == 0 {
                return Ok(None);
            }
            let buffered = self.tape.buffered();
            if buffered[0] != b'<' {
                let text = self.text()?;
                if !text.trim().is_empty() {
                    return Ok(Some(Event::Text(text)));
                }
                continue;
            }
            if buffered.starts_with(b"<!--") {
                self.until(b"-->")?;
                continue;
            }
            if buffered.starts_with(b"<![CDATA[") {
                let raw = self.until(b"]]>")?;
                let inner = raw.get(9..raw.len().saturating_sub(3)).unwrap_or("").to_owned();
                return Ok(Some(Event::Text(inner)));
            }
            if buffered.starts_with(b"<?") {
                let raw = self.until(b"?>")?;
                if raw.starts_with("<?xml ") || raw.starts_with("<?xml?") {
                    continue;
                }
                return Ok(Some(Event::Instruction(raw)));
            }
            if buffered.starts_with(b"<!") {
                return Ok(Some(Event::Doctype(self.doctype()?)));
            }
            if buffered.starts_with(b"</") {
                self.until(b">")?;
                return Ok(Some(Event::End));
            }
            return Ok(Some(self.start()?));
        }
    }

    /// Text up to the next tag: the whole is passed, its beginning kept.
    fn text(&mut self) -> Result<String, Unread> {
        let mut out = Vec::new();
        loop {
            if self.tape.fill(1)? == 0 {
                break;
            }
            let buffered = self.tape.buffered();
            let count = buffered.iter().take_while(|byte| **byte != b'<').count();
            if out.len() < TEXT_BYTES_KEPT {
                out.extend_from_slice(&buffered[..count]);
            }
            let ends = count < buffered.len();
            self.budget.steps(count as u64 / 16)?;
            self.tape.advance(count);
            if ends {
                break;
            }
        }
        Ok(unescape(&String::from_utf8_lossy(&out)))
    }

    /// Everything up to and with `mark`.
    fn until(&mut self, mark: &[u8]) -> Result<String, Unread> {
        let at = self.tape.offset();
        let mut wanted = 256;
        loop {
            let held = self.tape.fill(wanted)?;
            let buffered = self.tape.buffered();
            let window = &buffered[..held.min(MARKUP_BYTES_MAX)];
            if let Some(found) = window.windows(mark.len()).position(|part| part == mark) {
                let end = found + mark.len();
                let text = String::from_utf8_lossy(&buffered[..end]).into_owned();
                self.budget.steps(end as u64 / 16)?;
                self.tape.advance(end);
                return Ok(text);
            }
            if held >= MARKUP_BYTES_MAX {
                return Err(Unread::Limit(Limit::Within("length of XML markup")));
            }
            if held < wanted {
                return Err(Unread::malformed("end of XML markup", at));
            }
            wanted = wanted.saturating_mul(4);
        }
    }

    /// `<!DOCTYPE … [ … ]>`: brackets and quotes are followed.
    fn doctype(&mut self) -> Result<String, Unread> {
        let mut out = String::new();
        let mut depth = 0i32;
        loop {
            let more = self.until(b">")?;
            let (mut opened, mut quote) = (0i32, None);
            for c in more.chars() {
                match (quote, c) {
                    (None, '"' | '\'') => quote = Some(c),
                    (Some(open), c) if c == open => quote = None,
                    (None, '[') => opened += 1,
                    (None, ']') => opened -= 1,
                    _ => {}
                }
            }
            depth += opened;
            out.push_str(&more);
            if out.len() > MARKUP_BYTES_MAX {
                return Err(Unread::Limit(Limit::Within("length of XML markup")));
            }
            if depth <= 0 {
                return Ok(out);
            }
        }
    }

    fn start(&mut self) -> Result<Event, Unread> {
        // A `>` within quotes does not end the tag.
        let mut raw = self.until(b">")?;
        while quotes_open(&raw) {
            if raw.len() > MARKUP_BYTES_MAX {
                return Err(Unread::Limit(Limit::Within("length of XML markup")));
            }
            raw.push_str(&self.until(b">")?);
        }
        let inner = raw.trim_start_matches('<').trim_end_matches('>');
        let (inner, is_empty) = match inner.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        self.pending_end = is_empty;
        let end = inner.find(|c: char| c.is_whitespace()).unwrap_or(inner.len());
        let (prefix, name) = inner[..end].split_once(':').unwrap_or(("", &inner[..end]));
        Ok(Event::Start { name: name.to_owned(), prefix: prefix.to_owned(), attributes: attributes(&inner[end..]) })
    }
}

fn quotes_open(raw: &str) -> bool {
    let mut quote = None;
    for c in raw.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    quote.is_some()
}

fn attributes(mut rest: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    while let Some(equals) = rest.find('=') {
        let name = rest[..equals].trim().to_owned();
        let after = rest[equals + 1..].trim_start();
        let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\'')) else { break };
        let Some(close) = after[1..].find(quote) else { break };
        out.push((name, unescape(&after[1..=close])));
        rest = &after[close + 2..];
        if out.len() > 1000 {
            break;
        }
    }
    out
}

/// The predefined entities and character references.
fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        let known = end.and_then(|end| {
            let name = &rest[1..end];
            let c = match name {
                "lt" => Some('<'),
                "gt" => Some('>'),
                "amp" => Some('&'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                _ => match name.strip_prefix("#x") {
                    Some(hex) => u32::from_str_radix(hex, 16).ok().and_then(char::from_u32),
                    None => name.strip_prefix('#').and_then(|d| d.parse().ok()).and_then(char::from_u32),
                },
            };
            c.map(|c| (c, end))
        });
        match known {
            Some((c, end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn events(text: &str) -> Result<Vec<Event>, Unread> {
        let budget = Budget::new(Limits::default());
        let mut reader = Reader::new(&Source::memory(text.as_bytes().to_vec()), &budget)?;
        let mut out = Vec::new();
        while let Some(event) = reader.next()? {
            out.push(event);
        }
        Ok(out)
    }

    #[test]
    fn tags_text_and_types() {
        let found = events("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><p:a b='1>2' c=\"&lt;\">t &amp; u<b/><![CDATA[<z>]]></p:a>").unwrap();
        assert!(matches!(&found[0], Event::Doctype(text) if text.contains("SYSTEM") && text.ends_with("]>")));
        assert!(
            matches!(&found[1], Event::Start { name, prefix, attributes } if name == "a" && prefix == "p" && attributes[0].1 == "1>2" && attributes[1].1 == "<")
        );
        assert_eq!(found[2], Event::Text("t & u".to_owned()));
        assert_eq!(found[5], Event::Text("<z>".to_owned()));
    }

    #[test]
    fn nonsense_ends() {
        for text in ["<", "<a", "<!--", "<![CDATA[", "<a b='", "<!DOCTYPE [", "<?"] {
            assert!(events(text).is_err(), "{text}");
        }
        let wide: Vec<u8> = "\u{feff}<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(root_name(&wide).as_deref(), Some("a"));
    }
}
