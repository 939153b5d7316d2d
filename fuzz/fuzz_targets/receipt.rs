//! A receipt: its text is written back as it was read, and judging it is an answer and no accident.
#![no_main]

use haris_merkle::Receipt;
use haris_verify::{Trust, verify_receipt};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((receipt, note)) = Receipt::parse(bytes) {
        assert_eq!(receipt.to_string(), note.text());
    }
    let report = verify_receipt(bytes, &Trust::default(), None);
    assert!(!report.proven);
    let _ = report.to_text();
});
