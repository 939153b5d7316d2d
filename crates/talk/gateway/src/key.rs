//! The provider's key in what an upstream says: no caller may see it, whatever an upstream echoes.
//!
//! A key may come in one text or cut over many parts of a stream, plain or with JSON's escapes (in
//! a tool call's arguments, which an application parses). An answer that holds it is not passed on.

use std::collections::BTreeMap;

use memchr::{memchr, memchr2, memmem};

/// Shorter keys are placeholders such as `none`, and words of ordinary answers.
const KEY_BYTES_MIN: usize = 8;

/// One character of a key takes at most so many bytes: `\u0073`.
const ESCAPE_BYTES: usize = 6;

/// The key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leak;

/// The key as it is searched for, if there is one worth it.
pub(crate) fn searchable(key: &str) -> Option<&str> {
    Some(key.trim()).filter(|key| key.len() >= KEY_BYTES_MIN)
}

/// Whether `bytes` hold the key.
pub(crate) fn is_in(bytes: &[u8], key: &str) -> bool {
    if memmem::find(bytes, key.as_bytes()).is_some() {
        return true;
    }
    let mut at = 0;
    while let Some(next) = memchr(b'\\', &bytes[at..]) {
        // The key may begin before its first escape.
        let from = (at + next).saturating_sub(key.len());
        if (from..=at + next).any(|from| fit(&bytes[from..], key.as_bytes()) == Fit::Yes) {
            return true;
        }
        at += next + 1;
    }
    false
}

/// Whether texts hold the key, each by itself or the texts of one choice together: one behind the
/// other, and any one behind any other, since the order of members says nothing.
pub(crate) fn is_in_texts<'t>(texts: impl IntoIterator<Item = (Option<u32>, &'t str)>, key: &str) -> bool {
    let mut by_choice: BTreeMap<Option<u32>, (String, Vec<bool>, Vec<bool>)> = BTreeMap::new();
    for (choice, text) in texts {
        let (said, ends, begins) = by_choice.entry(choice).or_default();
        ends.resize(key.len(), false);
        begins.resize(key.len(), false);
        said.push_str(text);
        let text = text.as_bytes();
        for cut in 1..key.len() {
            ends[cut] |= text.ends_with(&key.as_bytes()[..cut]);
            begins[cut] |= text.starts_with(&key.as_bytes()[cut..]);
        }
    }
    by_choice.values().any(|(said, ends, begins)| {
        is_in(said.as_bytes(), key) || ends.iter().zip(begins).any(|(ends, begins)| *ends && *begins)
    })
}

/// The first byte that `text` stands for and how many it takes; nothing when an escape is not whole.
fn first(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'\\'] | [] => None,
        [b'\\', plain @ (b'/' | b'"' | b'\\'), ..] => Some((*plain, 2)),
        [b'\\', b'u', hex @ ..] => {
            let hex = &hex[..hex.len().min(4)];
            if !hex.iter().all(u8::is_ascii_hexdigit) {
                return Some((b'\\', 1));
            }
            if hex.len() < 4 {
                return None;
            }
            let code = std::str::from_utf8(hex).ok().and_then(|hex| u32::from_str_radix(hex, 16).ok());
            let ascii = code.and_then(|code| u8::try_from(code).ok()).filter(u8::is_ascii);
            Some(ascii.map_or((b'\\', 1), |byte| (byte, ESCAPE_BYTES)))
        }
        [byte, ..] => Some((*byte, 1)),
    }
}

/// How a text relates to the key at one place.
#[derive(PartialEq, Eq)]
enum Fit {
    No,
    /// The text ends before that is known.
    SoFar,
    Yes,
}

fn fit(text: &[u8], key: &[u8]) -> Fit {
    let mut at = 0;
    for wanted in key {
        match first(&text[at..]) {
            None => return Fit::SoFar,
            Some((byte, length)) if byte == *wanted => at += length,
            Some(_) => return Fit::No,
        }
    }
    Fit::Yes
}

/// Lets one text pass that arrives in pieces, and holds back what may be the beginning of the key.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    tail: String,
}

impl Guard {
    pub(crate) fn push(&mut self, text: &str, key: Option<&str>, out: &mut String) -> Result<(), Leak> {
        let Some(key) = key.map(str::as_bytes) else {
            out.push_str(text);
            return Ok(());
        };
        self.tail.push_str(text);
        let bytes = self.tail.as_bytes();
        let mut at = 0;
        while let Some(next) = memchr2(key[0], b'\\', &bytes[at..]) {
            at += next;
            match fit(&bytes[at..], key) {
                Fit::Yes => return Err(Leak),
                Fit::SoFar => {
                    out.extend(self.tail.drain(..at));
                    return Ok(());
                }
                Fit::No => at += 1,
            }
        }
        out.push_str(&self.tail);
        self.tail.clear();
        Ok(())
    }

    /// The end of the text.
    pub(crate) fn finish(&mut self, out: &mut String) {
        out.push_str(&self.tail);
        self.tail.clear();
    }
}

/// The latest texts of one choice, whatever fields they came in: a client that shows them one
/// behind the other shows a key that is cut over them.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    text: String,
}

impl Latest {
    pub(crate) fn push(&mut self, text: &str, key: Option<&str>) -> Result<(), Leak> {
        let Some(key) = key else { return Ok(()) };
        self.text.push_str(text);
        if is_in(self.text.as_bytes(), key) {
            return Err(Leak);
        }
        let mut passed = self.text.len().saturating_sub(key.len() * ESCAPE_BYTES);
        while !self.text.is_char_boundary(passed) {
            passed -= 1;
        }
        self.text.drain(..passed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "sk-sk-provider";

    fn guarded(parts: &[&str]) -> Result<String, Leak> {
        let mut guard = Guard::default();
        let mut out = String::new();
        for part in parts {
            if let Err(leak) = guard.push(part, Some(KEY), &mut out) {
                // What comes before the key may begin as it does, but nothing of the key itself went out.
                assert!(!out.contains("sk-sk-p"), "{out}");
                return Err(leak);
            }
        }
        guard.finish(&mut out);
        Ok(out)
    }

    #[test]
    fn a_key_is_found_in_every_spelling_and_cut() {
        for text in ["x sk-sk-provider", "sk-sk-sk-provider", r"\u0073k-sk\u002Dprovider!", r"\\\u0073k-sk-provider"] {
            for size in 1..text.len() {
                let parts: Vec<&str> = text.as_bytes().chunks(size).map(|c| std::str::from_utf8(c).unwrap()).collect();
                assert_eq!(guarded(&parts), Err(Leak), "{text} {size}");
            }
            assert!(is_in(text.as_bytes(), KEY), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_passes_in_the_end() {
        for text in ["sk-sk-provide", "\\u00", "sk-sk-Provider", "\\n\\", "disk-sk é s"] {
            assert_eq!(guarded(&[text]), Ok(text.to_owned()));
            assert!(!is_in(text.as_bytes(), KEY));
        }
    }

    #[test]
    fn texts_of_a_choice_are_read_together() {
        let both = |a, b| is_in_texts([(a, "sk-sk-"), (b, "provider")], KEY);
        assert!(both(Some(0), Some(0)) && !both(Some(0), Some(1)));
        assert!(is_in_texts([(None, "provider!"), (None, "x sk-sk-")], KEY));
        assert!(is_in_texts([(None, "sk-"), (None, "sk-"), (None, "provider")], KEY));
        assert!(!is_in_texts([(None, "sk-sk-"), (None, " provider"), (None, "")], KEY));
    }

    #[test]
    fn texts_behind_each_other_are_read_together() {
        let mut latest = Latest::default();
        assert_eq!(latest.push(&"é".repeat(200), Some(KEY)), Ok(()));
        assert_eq!(latest.push("sk-sk-", Some(KEY)), Ok(()));
        assert_eq!(latest.push("provider", Some(KEY)), Err(Leak));
    }

    proptest! {
        #[test]
        fn the_whole_and_its_pieces_agree(text in r"(sk-|provider|\\u0073|\\|u00|x|é){0,12}", cut in 0usize..60) {
            let mut cut = cut.min(text.len());
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            let mut guard = Guard::default();
            let mut out = String::new();
            let pieces = guard.push(&text[..cut], Some(KEY), &mut out).and_then(|()| guard.push(&text[cut..], Some(KEY), &mut out));
            guard.finish(&mut out);
            prop_assert_eq!(pieces.is_err(), is_in(text.as_bytes(), KEY));
            if pieces.is_ok() {
                prop_assert_eq!(out, text);
            }
        }
    }
}
