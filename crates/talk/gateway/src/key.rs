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

/// Whether `text` is a piece of the key that is long enough to be no accident.
pub(crate) fn is_piece(text: &str, key: &str) -> bool {
    text.len() >= KEY_BYTES_MIN && key.contains(text)
}

/// Whether texts hold the key, each by itself or the texts of one choice together, in any order: the
/// order of members says nothing.
pub(crate) fn is_in_texts<'t>(texts: impl IntoIterator<Item = (Option<u32>, &'t str)>, key: &str) -> bool {
    let mut by_choice: BTreeMap<Option<u32>, Vec<&str>> = BTreeMap::new();
    for (choice, text) in texts {
        by_choice.entry(choice).or_default().push(text);
    }
    by_choice.values().any(|texts| is_in(texts.concat().as_bytes(), key) || is_cut_over(texts, key))
}

/// Whether the key is the end of one text, whole other texts, and the beginning of a last one.
fn is_cut_over(texts: &[&str], key: &str) -> bool {
    let (mut said, key) = (vec![false; key.len()], key.as_bytes());
    for cut in 1..key.len() {
        said[cut] |= texts.iter().any(|text| text.as_bytes().ends_with(&key[..cut]));
        if !said[cut] {
            continue;
        }
        for text in texts.iter().map(|text| text.as_bytes()).filter(|text| !text.is_empty()) {
            let rest = &key[cut..];
            if text.starts_with(rest) {
                return true;
            }
            if rest.starts_with(text) {
                said[cut + text.len()] = true;
            }
        }
    }
    false
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

/// How many bytes at the end of `text`, which does not hold the key, may be its beginning.
fn open(text: &[u8], key: &[u8]) -> usize {
    let mut at = 0;
    while let Some(next) = memchr2(key[0], b'\\', &text[at..]) {
        at += next;
        if fit(&text[at..], key) == Fit::SoFar {
            return text.len() - at;
        }
        at += 1;
    }
    0
}

/// Lets one text pass that arrives in pieces, and holds back what may be part of the key: what may
/// be its beginning, and a whole text that may be a piece from its middle, which another text of the
/// choice begins and a third one ends.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    tail: String,
    /// Whether any of the text went out.
    passed: bool,
}

impl Guard {
    /// Takes the next part of the text. `hold` bytes at its end go on what another text began.
    pub(crate) fn push(&mut self, text: &str, key: Option<&str>, hold: usize, out: &mut String) -> Result<(), Leak> {
        let Some(key) = key.map(str::as_bytes) else {
            out.push_str(text);
            return Ok(());
        };
        self.tail.push_str(text);
        let bytes = self.tail.as_bytes();
        let mut at = 0;
        let mut free = bytes.len();
        while let Some(next) = memchr2(key[0], b'\\', &bytes[at..]) {
            at += next;
            match fit(&bytes[at..], key) {
                Fit::Yes => return Err(Leak),
                Fit::SoFar => {
                    free = at;
                    break;
                }
                Fit::No => at += 1,
            }
        }
        free = free.min(bytes.len().saturating_sub(hold));
        if !self.passed && memmem::find(key, bytes).is_some() {
            free = 0;
        }
        while !self.tail.is_char_boundary(free) {
            free -= 1;
        }
        self.passed |= free > 0;
        out.extend(self.tail.drain(..free));
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
    /// Takes the next text, and says how many bytes at its end may go on the key.
    pub(crate) fn push(&mut self, text: &str, key: Option<&str>) -> Result<usize, Leak> {
        let Some(key) = key else { return Ok(0) };
        self.text.push_str(text);
        if is_in(self.text.as_bytes(), key) {
            return Err(Leak);
        }
        let mut passed = self.text.len().saturating_sub(key.len() * ESCAPE_BYTES);
        while !self.text.is_char_boundary(passed) {
            passed -= 1;
        }
        self.text.drain(..passed);
        Ok(open(self.text.as_bytes(), key.as_bytes()).min(text.len()))
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
            if let Err(leak) = guard.push(part, Some(KEY), 0, &mut out) {
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
        for order in [["der!", "sk-prov", "hi sk-", "i"], ["i", "hi sk-", "der", "sk-prov"]] {
            assert!(is_in_texts(order.map(|text| (None, text)), KEY), "{order:?}");
        }
        assert!(!is_in_texts(["der", "sk-prov", "sk-"].map(|text| (None, text)), KEY));
    }

    #[test]
    fn texts_behind_each_other_are_read_together() {
        let mut latest = Latest::default();
        assert_eq!(latest.push(&"é".repeat(200), Some(KEY)), Ok(0));
        assert_eq!(latest.push("x sk-", Some(KEY)), Ok(3));
        assert_eq!(latest.push("sk-", Some(KEY)), Ok(3));
        assert_eq!(latest.push("provider", Some(KEY)), Err(Leak));
    }

    #[test]
    fn a_piece_from_the_middle_waits() {
        let mut out = String::new();
        // As long as it is all there is of its text.
        let mut guard = Guard::default();
        for part in ["-", "prov"] {
            assert_eq!(guard.push(part, Some(KEY), 0, &mut out), Ok(()));
            assert_eq!(out, "");
        }
        assert_eq!(guard.push("ing", Some(KEY), 0, &mut out), Ok(()));
        assert_eq!(out, "-proving");
        // Behind what another text began, wherever it stands.
        assert_eq!(guard.push(" k-prov", Some(KEY), 6, &mut out), Ok(()));
        assert_eq!(out, "-proving ");
        guard.finish(&mut out);
        assert_eq!(out, "-proving k-prov");
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
            let pieces = guard.push(&text[..cut], Some(KEY), 0, &mut out).and_then(|()| guard.push(&text[cut..], Some(KEY), 0, &mut out));
            guard.finish(&mut out);
            prop_assert_eq!(pieces.is_err(), is_in(text.as_bytes(), KEY));
            if pieces.is_ok() {
                prop_assert_eq!(out, text);
            }
        }
    }
}
