//! Text full of numbers that identify nobody: hashes, measurements, references, programs.
//!
//! Made here, by a generator with a fixed seed, so that the figure is the same everywhere. What
//! remains is what chance leaves: a number that has a brand's prefix, the right length and a valid
//! check digit *is* a card number as far as anybody can tell.

use haris_domain::Context;
use haris_text::Engine;

/// Numbers that only look random.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // xorshift64* (Vigna, 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn of(&mut self, alphabet: &str, len: usize) -> String {
        let alphabet = alphabet.as_bytes();
        (0..len).map(|_| char::from(alphabet[(self.next() >> 33) as usize % alphabet.len()])).collect()
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 33) % bound
    }
}

const HEX: &str = "0123456789abcdef";
const DIGITS: &str = "0123456789";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const CAPITALS: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789";

/// Lines of one make; how many of 5,000 may hold something.
fn check(name: &str, found_max: usize, mut line: impl FnMut(&mut Chance) -> String) {
    const LINES: usize = 5000;
    let engine = Engine::new();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut found = Vec::new();
    for _ in 0..LINES {
        let line = line(&mut chance);
        let detections = engine.inspect(&line, Context::Document).detections;
        found.extend(detections.first().map(|detection| format!("{}: {line}", detection.rule)));
    }
    assert!(
        found.len() <= found_max,
        "{name}: {} of {LINES}, such as {:#?}",
        found.len(),
        &found[..found.len().min(5)]
    );
}

#[test]
fn hashes_and_identifiers() {
    check("SHA-1", 0, |c| format!("commit {}", c.of(HEX, 40)));
    check("SHA-256", 0, |c| format!("{}  core.bin", c.of(HEX, 64)));
    check("UUID", 0, |c| {
        format!("{}-{}-4{}-a{}-{}", c.of(HEX, 8), c.of(HEX, 4), c.of(HEX, 3), c.of(HEX, 3), c.of(HEX, 12))
    });
    check("Base64", 1, |c| c.of(BASE64, 76));
    // `00 96 65 …` is also how a telephone number may be written.
    check("hex dump", 2, |c| {
        let bytes: Vec<String> = (0..16).map(|_| c.of(HEX, 2)).collect();
        format!("{:08x}  {}", c.below(1 << 30), bytes.join(" "))
    });
    check("part numbers", 1, |c| format!("part {}-{}-{}", c.of(CAPITALS, 4), c.of(CAPITALS, 6), c.of(CAPITALS, 5)));
}

#[test]
fn measurements() {
    check("decimals", 0, |c| format!("{}.{} and {}e-7", c.below(90), c.of(DIGITS, 16), c.of(DIGITS, 5)));
    check("coordinates", 0, |c| format!("25.{}, 51.{}", c.of(DIGITS, 11), c.of(DIGITS, 14)));
    check("amounts", 0, |c| format!("QAR {},{}.{}", c.of(DIGITS, 3), c.of(DIGITS, 3), c.of(DIGITS, 2)));
    check("large amounts", 0, |c| format!("total {}{}.{}", 1 + c.below(9), c.of(DIGITS, 10), c.of(DIGITS, 2)));
    check("times", 0, |c| {
        let (day, hour, second) = (1 + c.below(28), c.below(24), c.below(60));
        format!("2026-11-{day:02}T{hour:02}:30:{second:02}.{}Z", c.of(DIGITS, 9))
    });
    check("seconds since 1970", 0, |c| {
        format!("ts={} ms={}", 1_700_000_000 + c.below(99_999_999), 1_700_000_000_000 + c.below(99_999_999_999))
    });
    check("table of years", 5, |c| {
        let years: Vec<String> = (0..9).map(|_| (1950 + c.below(80)).to_string()).collect();
        years.join(", ")
    });
}

#[test]
fn references() {
    check("orders", 0, |c| format!("order {} shipped", c.of(DIGITS, 11)));
    check("orders with a name before", 0, |c| format!("order_{} txn_{}", c.of(DIGITS, 11), c.of(DIGITS, 16)));
    check("references with letters", 0, |c| format!("ref TXN{} and INV{}", c.of(DIGITS, 16), c.of(DIGITS, 11)));
    check("barcodes", 0, |c| format!("EAN 5{}", c.of(DIGITS, 12)));
    check("versions", 0, |c| format!("version {}.{}.{}-{}", c.below(30), c.below(99), c.below(999), c.of(DIGITS, 11)));
}

#[test]
fn programs() {
    check("constants", 0, |c| {
        format!("const SEED_{}: u64 = 0x{}; // {}", c.below(99), c.of(HEX, 16), c.below(1 << 20))
    });
    check("assignments", 0, |c| {
        let name = ["password", "token", "secret", "api_key"][c.below(4) as usize];
        let value = ["read_line()?", "config.db.password1", "env::var(\"X1\")?", "None", "self.token2.clone()"];
        format!("let {name} = {};", value[c.below(5) as usize])
    });
    check("queries", 0, |c| {
        format!("SELECT id FROM t WHERE a > {} AND b IN ({}, {});", c.of(DIGITS, 9), c.below(99), c.below(9999))
    });
}
