//! One-time codes by the clock (TOTP, RFC 6238): SHA-1, six digits, thirty seconds, as every authenticator has them.

use aws_lc_rs::hmac;
use haris_domain::Timestamp;
use zeroize::Zeroizing;

use crate::secret::{random, same};

const STEP_SECONDS: i64 = 30;
/// A code of the step before and of the one after counts as well: clocks differ, and fingers are slow.
const STEPS_OFF: i64 = 1;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The secret that an authenticator and Haris share.
pub struct Totp(Zeroizing<[u8; 20]>);

impl Totp {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self(random())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// As a person types it into an authenticator: base32 without padding, in groups of four.
    #[must_use]
    pub fn typed(&self) -> Zeroizing<String> {
        let plain = base32(self.bytes());
        let groups: Vec<_> = plain.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group)).collect();
        Zeroizing::new(groups.join(" "))
    }

    /// As a QR code carries it.
    #[must_use]
    pub fn uri(&self, account: &str) -> Zeroizing<String> {
        let account: String = account
            .bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        Zeroizing::new(format!("otpauth://totp/Haris:{account}?secret={}&issuer=Haris", *base32(self.bytes())))
    }

    /// The step of which this is the code, if it is one of those that count now and is later than `last`: a code is
    /// used once.
    #[must_use]
    pub fn step_of(&self, code: &str, now: Timestamp, last: i64) -> Option<i64> {
        let code: Zeroizing<String> = Zeroizing::new(code.chars().filter(|c| !c.is_whitespace()).collect());
        let present = now.micros().div_euclid(1_000_000 * STEP_SECONDS);
        let mut found = None;
        for step in present - STEPS_OFF..=present + STEPS_OFF {
            // Every step is computed, whichever matches.
            if same(&self.code(step), &code) && step > last {
                found = Some(step);
            }
        }
        found
    }

    /// The code of a step (RFC 4226 section 5.3).
    fn code(&self, step: i64) -> Zeroizing<String> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.bytes());
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag[tag.len() - 1] & 0x0f);
        let word = u32::from_be_bytes([tag[offset] & 0x7f, tag[offset + 1], tag[offset + 2], tag[offset + 3]]);
        Zeroizing::new(format!("{:06}", word % 1_000_000))
    }

    /// The code of this moment: for whoever holds the secret, as tests do.
    #[must_use]
    pub fn code_at(&self, now: Timestamp) -> String {
        self.code(now.micros().div_euclid(1_000_000 * STEP_SECONDS)).to_string()
    }
}

impl Default for Totp {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Totp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Totp(..)")
    }
}

pub(crate) fn base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(BASE32[(held >> bits & 31) as usize]));
            held &= (1 << bits) - 1;
        }
    }
    if bits > 0 {
        out.push(char::from(BASE32[(held << (5 - bits) & 31) as usize]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_vectors_of_the_rfc_hold() {
        // RFC 6238 appendix B, SHA-1, the last six of its eight digits.
        let totp = Totp::from_bytes(b"12345678901234567890").unwrap();
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(totp.code_at(at(seconds)), code);
        }
        assert_eq!(*totp.typed(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        assert!(totp.uri("مريم a").contains("Haris:%D9%85") && totp.uri("a b").contains("a%20b?secret=GEZDGNBV"));
    }

    #[test]
    fn a_code_counts_a_step_either_way_and_once() {
        let totp = Totp::new();
        let now = at(1_800_000_000);
        let code = totp.code_at(now);
        let step = totp.step_of(&format!("{} {}", &code[..3], &code[3..]), now, 0).unwrap();
        assert_eq!(totp.step_of(&code, now, step), None, "not twice");
        assert_eq!(totp.step_of(&code, at(1_800_000_000 + 30), 0), Some(step));
        assert_eq!(totp.step_of(&code, at(1_800_000_000 - 30), 0), Some(step));
        for bad in ["", "00000", "1234567", "abcdef", "１２３４５６"] {
            assert_eq!(totp.step_of(bad, now, 0), None, "{bad}");
        }
        if totp.code_at(at(1_800_000_000 + 90)) != code {
            assert_eq!(totp.step_of(&code, at(1_800_000_000 + 90), 0), None);
        }
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        // RFC 4648 section 10, without padding.
        for (plain, encoded) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(*base32(plain.as_bytes()), encoded);
        }
        assert_eq!(format!("{:?}", Totp::new()), "Totp(..)");
    }
}
