//! A template's tags: where they stand, and what they are called.

/// A template's parts.
pub(super) struct Piece<'a> {
    /// `true` for `{{ }}`.
    pub(super) is_output: bool,
    pub(super) body: &'a str,
    pub(super) line: u32,
}

/// `{{ }}` and `{% %}` of a template, comments and raw blocks left out; whether all of them end.
pub(super) fn pieces(source: &str) -> (Vec<Piece<'_>>, bool) {
    let mut out = Vec::new();
    let mut rest = source;
    let mut line = 1u32;
    let mut raw = false;
    while let Some(at) = rest.find('{') {
        line = line.saturating_add(newlines(&rest[..at]));
        rest = &rest[at..];
        let close = match rest.as_bytes().get(1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                rest = &rest[1..];
                continue;
            }
        };
        let body = &rest[2..];
        let Some(end) = (if close == "#}" { body.find(close) } else { end_of(body, close) }) else {
            return (out, raw);
        };
        let inner = body[..end].trim_start_matches(['-', '+']).trim_end_matches(['-', '+']);
        let word = inner.trim();
        if raw {
            if close == "%}" && word == "endraw" {
                raw = false;
            } else {
                rest = &rest[2..];
                continue;
            }
        } else if close == "%}" && word == "raw" {
            raw = true;
        } else if close != "#}" {
            out.push(Piece { is_output: close == "}}", body: inner, line });
        }
        line = line.saturating_add(newlines(&body[..end]));
        rest = &body[end + 2..];
    }
    (out, true)
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// Where a tag's end mark stands outside strings and brackets.
fn end_of(body: &str, close: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let mut quote: Option<u8> = None;
    let mut braces = 0u32;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(bytes[at]),
            (None, b'{') => braces += 1,
            (None, _)
                if body.is_char_boundary(at) && body[at..].starts_with(close) && (braces == 0 || close == "%}") =>
            {
                return Some(at);
            }
            (None, b'}') => braces = braces.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A tag's name and what stands behind it.
pub(super) fn split_tag(body: &str) -> (&str, &str) {
    let end = body.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(body.len());
    (body[end..].trim(), &body[..end])
}
