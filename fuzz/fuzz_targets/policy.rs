//! A witness policy: read, and asked with witnesses that all signed and with none that did.
#![no_main]

use haris_merkle::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = Policy::parse(bytes) else { return };
    let all = policy.quorum(|_| Some(7));
    let none = policy.quorum(|_| None);
    if policy.asks_for_witnesses() {
        assert!(all.is_some(), "all witnesses together are a quorum");
        assert!(none.is_none(), "no witness is no quorum");
    }
});
