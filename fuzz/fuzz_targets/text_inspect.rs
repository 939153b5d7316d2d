//! The text engine on any text: spans lie on characters, in order, and redaction leaves the rest.
#![no_main]

use std::sync::LazyLock;

use haris_domain::{Context, Verdict};
use haris_text::{Engine, redact};
use libfuzzer_sys::fuzz_target;

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);

fuzz_target!(|text: &str| {
    for context in Context::ALL {
        let found = ENGINE.inspect(text, context).detections;
        let mut last = (0, 0);
        for detection in &found {
            let span = &detection.span;
            assert!(span.start < span.end && text.get(span.clone()).is_some(), "{span:?} in {text:?}");
            assert!((span.start, span.end) >= last, "in order");
            last = (span.start, span.end);
        }
        let (redacted, changed) = redact(text, 0, &found, |_| Verdict::Redact);
        assert_eq!(changed, !found.is_empty());
        assert_eq!(redact(text, 0, &found, |_| Verdict::Observe), (text.to_owned(), false));
        assert!(changed || redacted == text);
    }
});
