//! Redaction inside JSON source that is itself text: a tool call's arguments.
//!
//! An application parses this text, so it must stay JSON. A placeholder inside a string is fine; in
//! the place of a number it needs quotes, and a match that reaches over quotes and colons must leave
//! those alone. The rewriter is a small lexer that sees the text in pieces of any size, some of
//! them redacted, and gives the same output for every cutting. Two things wait until they are
//! whole: an escape, and a bare word such as a number. Both are short.

/// Rewrites one JSON text on its way through.
#[derive(Debug, Default)]
pub(crate) struct Rewriter {
    place: Place,
    /// An escape sequence that has begun, or a bare word.
    pending: String,
    pending_redacted: bool,
    /// The placeholder of the current match is already in the current string or word.
    placed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Between values and structure.
    #[default]
    Outside,
    /// In a number, `true`, or whatever else stands bare.
    Word,
    /// In a string.
    Inside,
    /// In a string, behind a backslash; how many characters the escape still needs.
    Escape(u8),
}

/// Bare words longer than this are no JSON; they pass without waiting for their end.
const WORD_BYTES_MAX: usize = 256;

impl Rewriter {
    /// Text that stays.
    pub(crate) fn clean(&mut self, text: &str, out: &mut String) {
        self.placed = false;
        for c in text.chars() {
            self.step(c, None, out);
        }
    }

    /// Text that a placeholder stands for.
    pub(crate) fn redacted(&mut self, text: &str, placeholder: &str, out: &mut String) {
        self.placed = false;
        for c in text.chars() {
            self.step(c, Some(placeholder), out);
        }
    }

    /// The end of the text.
    pub(crate) fn finish(&mut self, out: &mut String) {
        match self.place {
            Place::Word => self.end_word(out),
            Place::Escape(_) => self.end_escape(out),
            Place::Outside | Place::Inside => {}
        }
        self.place = Place::Outside;
    }

    fn step(&mut self, c: char, placeholder: Option<&str>, out: &mut String) {
        match self.place {
            Place::Outside | Place::Word => {
                let structural = matches!(c, '{' | '}' | '[' | ']' | ':' | ',' | '"') || c.is_ascii_whitespace();
                if !structural {
                    self.word(c, placeholder, out);
                    return;
                }
                if self.place == Place::Word {
                    self.end_word(out);
                }
                // Structure passes even where it was matched: it says nothing.
                out.push(c);
                if !c.is_ascii_whitespace() {
                    self.placed = false;
                }
                self.place = if c == '"' { Place::Inside } else { Place::Outside };
            }
            Place::Inside if c == '"' => {
                out.push(c);
                self.placed = false;
                self.place = Place::Outside;
            }
            Place::Inside if c == '\\' => {
                self.pending.push(c);
                self.pending_redacted = placeholder.is_some();
                self.place_once(placeholder, out);
                self.place = Place::Escape(1);
            }
            Place::Inside => match placeholder {
                None => out.push(c),
                Some(_) => self.place_once(placeholder, out),
            },
            Place::Escape(left) => {
                if placeholder.is_some() {
                    self.pending_redacted = true;
                    self.place_once(placeholder, out);
                }
                self.pending.push(c);
                let left = if c == 'u' && self.pending.len() == 2 { 4 } else { left - 1 };
                self.place = Place::Escape(left);
                if left == 0 {
                    self.end_escape(out);
                    self.place = Place::Inside;
                }
            }
        }
    }

    fn word(&mut self, c: char, placeholder: Option<&str>, out: &mut String) {
        self.place = Place::Word;
        match placeholder {
            None => self.pending.push(c),
            Some(_) => {
                let mut placed = String::new();
                self.place_once(placeholder, &mut placed);
                self.pending.push_str(&placed);
                self.pending_redacted = true;
            }
        }
        if self.pending.len() > WORD_BYTES_MAX && !self.pending_redacted {
            out.push_str(&self.pending);
            self.pending.clear();
        }
    }

    fn end_word(&mut self, out: &mut String) {
        if self.pending_redacted && !self.pending.is_empty() {
            out.push('"');
            // A bare word has neither quotes nor, in valid JSON, backslashes.
            out.extend(self.pending.chars().filter(|c| *c != '\\' && !c.is_control()));
            out.push('"');
        } else {
            out.push_str(&self.pending);
        }
        self.pending.clear();
        self.pending_redacted = false;
    }

    fn end_escape(&mut self, out: &mut String) {
        if !self.pending_redacted {
            out.push_str(&self.pending);
        }
        self.pending.clear();
        self.pending_redacted = false;
    }

    fn place_once(&mut self, placeholder: Option<&str>, out: &mut String) {
        if let (Some(text), false) = (placeholder, self.placed) {
            out.push_str(text);
            self.placed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Redacts the parts between guillemets.
    fn rewrite(marked: &str) -> String {
        let mut rewriter = Rewriter::default();
        let mut out = String::new();
        for (index, part) in marked.split(['«', '»']).enumerate() {
            if index % 2 == 0 {
                rewriter.clean(part, &mut out);
            } else {
                rewriter.redacted(part, "[R]", &mut out);
            }
        }
        rewriter.finish(&mut out);
        out
    }

    #[track_caller]
    fn check(marked: &str, expected: &str) {
        let out = rewrite(marked);
        assert_eq!(out, expected);
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
    }

    #[test]
    fn what_was_json_stays_json() {
        check(r#"{"card":"«4111»"}"#, r#"{"card":"[R]"}"#);
        check(r#"{"card":«4111»,"n":1}"#, r#"{"card":"[R]","n":1}"#);
        check(r#"{"card":-«4111».5}"#, r#"{"card":"-[R].5"}"#);
        check("[1,«4111»]", r#"[1,"[R]"]"#);
        check("«4111»", r#""[R]""#);
        check(r#"{"«password":"hunter2»"}"#, r#"{"[R]":"[R]"}"#);
        check(r#"{"a":"x\u00«34\u0035»6"}"#, r#"{"a":"x[R]6"}"#);
        check(r#"{"a":"x«4\»n6"}"#, r#"{"a":"x[R]6"}"#);
        check(r#"{"a":"\"«4111»\\"}"#, r#"{"a":"\"[R]\\"}"#);
        check(r#"{"a":true,"b":[null,1.5e3]}"#, r#"{"a":true,"b":[null,1.5e3]}"#);
        check(r#"["«1»«2»"]"#, r#"["[R][R]"]"#);
    }

    #[test]
    fn text_that_is_no_json_is_redacted_too() {
        assert_eq!(rewrite("call «4111 1111» now"), "call \"[R]\"  now");
        assert_eq!(rewrite("\"open «4111»"), "\"open [R]");
        assert!(!rewrite("\"open \\«4111»").contains("4111"));
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(text in r#"[\[\]{}:,"\\u0-9a-f «»\n]{0,40}"#, cut in 0usize..40) {
            let parts: Vec<&str> = text.split(['«', '»']).collect();
            let whole = rewrite(&text);
            let mut rewriter = Rewriter::default();
            let mut out = String::new();
            for (index, part) in parts.iter().enumerate() {
                if index % 2 == 1 {
                    rewriter.redacted(part, "[R]", &mut out);
                    continue;
                }
                let cut = cut.min(part.len());
                rewriter.clean(&part[..cut], &mut out);
                rewriter.clean(&part[cut..], &mut out);
            }
            rewriter.finish(&mut out);
            prop_assert_eq!(out, whole);
        }

        #[test]
        fn clean_text_is_untouched(text in any::<String>()) {
            prop_assert_eq!(rewrite(&text.replace(['«', '»'], "")), text.replace(['«', '»'], ""));
        }
    }
}
