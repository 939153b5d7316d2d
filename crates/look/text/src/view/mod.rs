//! The folded view: the text as a detector wants to read it, with a map back to the original.
//!
//! Digits of every script become ASCII, invisible characters and combining marks go, compatibility
//! forms and look-alike letters become plain ones, backslash escapes are undone. One view serves
//! all detectors: patterns are written once, in folded form, and see through every disguise at the
//! same time. Folding is local (a unit depends on a bounded neighbourhood), so folding a stream
//! piece by piece gives the view of the whole.
//!
//! A text that folding would not change is never copied: [`is_plain`] is one fast pass.

mod escape;
mod letters;
mod map;

pub(crate) use letters::is_invisible;
pub(crate) use map::Map;

use letters::Folded;

/// How far a run of look-alike letters is followed to find the Latin letter that gives it away.
/// No word of any language that mixes scripts in earnest is longer.
const LOOKALIKE_RUN_CHARS_MAX: usize = 32;

/// Whether folding surely leaves `text` as it is.
pub(crate) fn is_plain(text: &str) -> bool {
    if memchr::memchr(b'\\', text.as_bytes()).is_some() {
        return false;
    }
    text.is_ascii() || text.chars().all(|c| c.is_ascii() || letters::stays(c))
}

/// Folds text that arrives in pieces. What it cannot decide yet, it leaves to the next call.
#[derive(Default)]
pub(crate) struct Folder {
    /// Whether the last folded character was a Latin letter: a look-alike after it is a disguise.
    after_latin: bool,
}

impl Folder {
    /// Folds as much of `raw` as can be decided, appends it to `view`, and returns how many bytes
    /// of `raw` that was. `raw` starts at `raw_base` of the whole text, and `view_base` is what
    /// stands before the start of `view`. With `last`, everything is decided.
    pub(crate) fn fold(
        &mut self,
        raw: &str,
        raw_base: usize,
        last: bool,
        view: &mut String,
        view_base: usize,
        map: &mut Map,
    ) -> usize {
        let mut at = 0;
        while at < raw.len() {
            let plain = plain_ascii(&raw.as_bytes()[at..]);
            if plain > 0 {
                view.push_str(&raw[at..at + plain]);
                at += plain;
                self.after_latin = raw.as_bytes()[at - 1].is_ascii_alphabetic();
                continue;
            }
            let same = staying(&raw[at..]);
            if same > 0 {
                view.push_str(&raw[at..at + same]);
                at += same;
                self.after_latin = false;
                continue;
            }
            let before = view.len();
            let Some((taken, changed)) = self.unit(&raw[at..], last, view) else { break };
            if changed {
                map.edit(view_base + before, view.len() - before, raw_base + at, taken);
            }
            at += taken;
            if view.len() > before {
                self.after_latin = view.as_bytes()[view.len() - 1].is_ascii_alphabetic();
            }
        }
        at
    }

    /// Folds one unit at the start of `rest`, which starts with a backslash or a non-ASCII
    /// character, and says how long it was and whether it reads differently now. `None` when more
    /// text is needed to tell.
    fn unit(&self, rest: &str, last: bool, view: &mut String) -> Option<(usize, bool)> {
        if rest.starts_with('\\') {
            return match escape::read(rest, last) {
                escape::Escape::Char(c, taken) => {
                    push_folded(c, view);
                    Some((taken, true))
                }
                escape::Escape::None => {
                    view.push('\\');
                    Some((1, false))
                }
                escape::Escape::NeedsMore => None,
            };
        }
        let c = rest.chars().next()?;
        if letters::lookalike(c).is_some() {
            return self.lookalikes(rest, last, view);
        }
        Some((c.len_utf8(), push_folded(c, view)))
    }

    /// A run of Cyrillic or Greek letters that touches a Latin letter is a Latin word in disguise:
    /// those of its letters that look Latin become so. A run that touches none is Russian or Greek.
    fn lookalikes(&self, rest: &str, last: bool, view: &mut String) -> Option<(usize, bool)> {
        let run: usize = rest
            .chars()
            .take(LOOKALIKE_RUN_CHARS_MAX)
            .take_while(|c| letters::other_script(*c))
            .map(char::len_utf8)
            .sum();
        let next = rest[run..].chars().next();
        let disguise = self.after_latin || next.is_some_and(|c| c.is_ascii_alphabetic());
        if !disguise && next.is_none() && !last {
            return None;
        }
        if !disguise {
            // A Russian word is left in one step: asking again at each letter would be quadratic.
            view.push_str(&rest[..run]);
            return Some((run, false));
        }
        // Letter by letter, so that each keeps its own place in the map.
        let c = rest.chars().next()?;
        let latin = letters::lookalike(c);
        view.push(latin.unwrap_or(c));
        Some((c.len_utf8(), latin.is_some()))
    }
}

/// How many bytes at the start are non-ASCII characters that stay as they are, whatever stands
/// beside them.
fn staying(text: &str) -> usize {
    text.chars().take_while(|c| !c.is_ascii() && letters::stays(*c)).map(char::len_utf8).sum()
}

/// How many bytes at the start are ASCII without a backslash.
fn plain_ascii(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !b.is_ascii() || *b == b'\\').unwrap_or(bytes.len())
}

/// Appends what `c` folds to, and says whether that is something else.
fn push_folded(c: char, view: &mut String) -> bool {
    match letters::fold(c) {
        Folded::Same => {
            view.push(c);
            return false;
        }
        Folded::Gone => {}
        Folded::Char(folded) => view.push(folded),
        Folded::Compatibility => {
            for part in unicode_normalization::UnicodeNormalization::nfkc(c) {
                match letters::fold(part) {
                    Folded::Gone => {}
                    Folded::Char(folded) => view.push(folded),
                    Folded::Same | Folded::Compatibility => view.push(part),
                }
            }
        }
    }
    true
}

/// The folded form of a pattern or context word, as detectors and rule files write them.
pub(crate) fn folded(text: &str) -> String {
    let mut view = String::with_capacity(text.len());
    Folder::default().fold(text, 0, true, &mut view, 0, &mut Map::default());
    view
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(folded(text), expected);
        assert!(!is_plain(text) || text == expected, "is_plain({text:?})");
    }

    #[test]
    fn disguises_come_off() {
        check("plain prose, with 123", "plain prose, with 123");
        check("٢٨٤ ۶۳۴ ４４ 𝟒𝟐", "284 634 44 42");
        check("4111\u{a0}1111\u{200b}1111", "4111 11111111");
        check("ｉｇｎｏｒｅ 𝐢𝐠𝐧𝐨𝐫𝐞 ⓘⓖ", "ignore ignore ig");
        check("p\u{430}ssw\u{43e}rd", "password");
        check("\u{430}dmin", "admin");
        check("тест и пароль", "тест и пароль");
        check("كَلِمَةُ الســـر أحمد", "كلمه السر احمد");
        check("\u{fe8e}\u{fee0}", "ال");
        check("a\u{e0041}b\u{ad}c\u{fe0f}", "abc");
        check("naïve café", "naïve café");
        check("cafe\u{301}", "cafe");
        check("12–34", "12-34");
    }

    #[test]
    fn escapes_are_undone() {
        check(r"\u0032\u0038", "28");
        check(r"\\u0032", "2");
        check(r"\x41\u{42}", "AB");
        check(r"a\ud83d\ude00b", "a😀b");
        check(r"line\nbreak \u0662", "line\nbreak 2");
        check(r"\xd9\xa2", "2");
        check(r"C:\users and \d+", r"C:\users and \d+");
        check(r"\ud800 alone", r"\ud800 alone");
        check(r"1\u200b2", "12");
    }

    #[test]
    fn spans_map_back_without_what_was_removed_around_them() {
        let raw = "a\u{200b}\u{200b}٢\u{200b}٣\u{200b} b";
        let (mut view, mut map) = (String::new(), Map::default());
        Folder::default().fold(raw, 0, true, &mut view, 0, &mut map);
        assert_eq!(view, "a23 b");
        assert_eq!(&raw[map.raw_span(1..3)], "٢\u{200b}٣");
        assert_eq!(&raw[map.raw_span(0..1)], "a");
        assert_eq!(&raw[map.raw_span(4..5)], "b");
    }

    proptest! {
        #[test]
        fn folding_in_pieces_is_folding_the_whole(parts in prop::collection::vec(any_piece(), 0..12)) {
            let raw = parts.concat();
            let (mut whole, mut whole_map) = (String::new(), Map::default());
            Folder::default().fold(&raw, 0, true, &mut whole, 0, &mut whole_map);

            let (mut view, mut map, mut folder) = (String::new(), Map::default(), Folder::default());
            let mut done = 0;
            let mut end = 0;
            for c in raw.chars() {
                end += c.len_utf8();
                done += folder.fold(&raw[done..end], done, false, &mut view, 0, &mut map);
            }
            done += folder.fold(&raw[done..], done, true, &mut view, 0, &mut map);
            prop_assert_eq!(done, raw.len());
            prop_assert_eq!(&view, &whole);
            for (at, c) in view.char_indices() {
                let span = at..at + c.len_utf8();
                let raw_span = map.raw_span(span.clone());
                prop_assert_eq!(&raw_span, &whole_map.raw_span(span));
                prop_assert!(raw.get(raw_span).is_some());
            }
            prop_assert!(!is_plain(&raw) || view == raw);
        }
    }

    fn any_piece() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), "[\\\\u0-9a-fx{}nd ]{0,12}", "[аеорсa-c \u{200b}\u{301}٠-٩ﷺ]{0,12}",]
    }
}
