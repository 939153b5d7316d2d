//! A submission to a witness: what is read is written back byte for byte; and what a witness answers, signature lines.
#![no_main]

use haris_merkle::{Submission, Subtrees, note::signatures};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(lines) = signatures(text)
    {
        let written: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(written, text);
    }
    let Ok(submission) = Submission::parse(bytes) else { return };
    assert_eq!(submission.to_bytes(), bytes);
    let _ = submission.verify_prefix(&[0; 32]);
    let mut known = Subtrees::new();
    known.learn(submission.old, [0; 32], submission.checkpoint.size, &submission.path);
    let _ = known.consistency(submission.old, submission.checkpoint.size);
    let _ = known.consistency(submission.old / 2, submission.checkpoint.size);
});
