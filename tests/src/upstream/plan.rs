//! What the mock does, as the model's name says: `gpt-mock.leak.chunk-1` leaks, one character an
//! event. A name is the one field that every guard passes on unchanged.

use crate::marks;

/// How the mock answers one request. Words that it does not know mean nothing, so that a test can
/// give each of its requests a name of its own: `gpt-mock.r-17`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `slow-MS`: wait before the first byte.
    pub slow_ms: u64,
    /// `leak`, `echo`, `prose`, `stream52`, `huge-KB`: what the answer says.
    pub text: Text,
    /// `chunk-N`: characters in one event of a stream; words by default.
    pub chunk_chars: Option<usize>,
    /// `tcp-N`: bytes in one write, whatever the events' borders.
    pub tcp_bytes: Option<usize>,
    /// `tools`: a tool call instead of text, with the text as its argument.
    pub tools: bool,
    /// `hang`: after three events, nothing more.
    pub hang: bool,
    /// `cut`: after three events, the connection breaks.
    pub cut: bool,
    /// `gzip`: compressed, asked for or not.
    pub gzip: bool,
    /// `notjson`: an answer that is no JSON.
    pub not_json: bool,
    /// `err-STATUS`: an error of the protocol.
    pub error: Option<u16>,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// One harmless sentence.
    Short,
    /// About a kibibyte of harmless English.
    Prose,
    /// A sentence with identifiers and a secret.
    Leak,
    /// The last message of the request.
    Echo,
    /// Fifty events' worth of words with identifiers among them, for benchmarks.
    Fifty,
    /// This many kibibytes of harmless English.
    Huge(usize),
}

impl Plan {
    /// The plan that a model's name spells.
    #[must_use]
    pub fn of(model: &str) -> Self {
        let mut plan = Self {
            slow_ms: 0,
            text: Text::Short,
            chunk_chars: None,
            tcp_bytes: None,
            tools: false,
            hang: false,
            cut: false,
            gzip: false,
            not_json: false,
            error: None,
        };
        for word in model.split('.').skip(1) {
            let (verb, number) = word.split_once('-').unwrap_or((word, ""));
            let number: Option<u64> = number.parse().ok();
            let size = number.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
            match verb {
                "slow" => plan.slow_ms = number.unwrap_or(0),
                "prose" => plan.text = Text::Prose,
                "leak" => plan.text = Text::Leak,
                "echo" => plan.text = Text::Echo,
                "stream52" => plan.text = Text::Fifty,
                "huge" => plan.text = Text::Huge(size.unwrap_or(1)),
                "chunk" => plan.chunk_chars = size,
                "tcp" => plan.tcp_bytes = size,
                "tools" => plan.tools = true,
                "hang" => plan.hang = true,
                "cut" => plan.cut = true,
                "gzip" => plan.gzip = true,
                "notjson" => plan.not_json = true,
                "err" => plan.error = number.and_then(|n| u16::try_from(n).ok()),
                _ => {}
            }
        }
        plan
    }

    /// The answer's words, given the request's last message.
    #[must_use]
    pub fn words(&self, last_message: &str) -> String {
        match self.text {
            Text::Short => "The branch opens at half past seven.".to_owned(),
            Text::Prose => marks::PROSE.to_owned(),
            Text::Leak => marks::leaking_text(),
            Text::Echo => last_message.to_owned(),
            Text::Fifty => {
                // 50 words: with the first and the last event of a stream, 52.
                let prose = marks::PROSE.split(' ').take(44).collect::<Vec<_>>().join(" ");
                format!("{prose} card {} and account {} noted.", marks::CARD, marks::IBAN)
            }
            Text::Huge(kib) => marks::PROSE.chars().cycle().take(kib * 1024).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_spell_plans() {
        let plan = Plan::of("gpt-mock.leak.chunk-1.gzip.err-429.r-17");
        assert_eq!(plan.text, Text::Leak);
        assert_eq!(plan.chunk_chars, Some(1));
        assert!(plan.gzip && !plan.hang);
        assert_eq!(plan.error, Some(429));
        assert_eq!(Plan::of("gpt-4o"), Plan::of(""));
        assert_eq!(Plan::of("gpt-mock.chunk-0").chunk_chars, None);
    }

    #[test]
    fn fifty_words_are_fifty() {
        assert_eq!(Plan::of("x.stream52").words("").split(' ').count(), 50);
    }
}
