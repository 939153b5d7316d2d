//! Internet addresses of both versions.

use std::net::{Ipv4Addr, Ipv6Addr};

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot, joined_end};

/// `255.255.255.255` and what follows.
const V4_REACH: usize = 18;

/// The longest IPv6 address, with an IPv4 tail.
const V6_MAX: usize = 45;

/// `version 1.2.3.4` is none.
const VERSION_BYTES: usize = 12;

pub(super) struct Ipv4 {
    version: ContextWords,
}

impl Ipv4 {
    pub(super) fn new() -> Self {
        Self {
            version: ContextWords::new(&[
                "version",
                "ver",
                "release",
                "build",
                "section",
                "chapter",
                "إصدار",
                "الإصدار",
            ]),
        }
    }
}

fn rule(id: &'static str, title: &'static str) -> Vec<Rule> {
    vec![face(
        id,
        Severity::Low,
        title,
        "The address points at a device or a network; with a time it identifies a subscriber.",
        "Leave it out, or shorten it to its network.",
        &["OWASP-LLM-2025:LLM02", "CWE-359"],
    )]
}

impl Detector for Ipv4 {
    fn rules(&self) -> Vec<Rule> {
        rule("pii.ipv4", "IPv4 address")
    }

    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    fn reach(&self) -> usize {
        V4_REACH
    }

    fn rank(&self) -> u8 {
        73
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let before = spot.before();
        if joined_end(before) || before.ends_with(['.', '-']) {
            return None;
        }
        let end = (0..16).take_while(|at| spot.byte(*at).is_some_and(|b| b.is_ascii_digit() || b == b'.')).count();
        let text = spot.slice(0, end).trim_end_matches('.');
        if text.len() < 7 || spot.joined_at(end) || text.parse::<Ipv4Addr>().is_err() {
            return None;
        }
        if self.version.within(before, VERSION_BYTES) {
            return None;
        }
        let why = "four numbers up to 255 with dots between";
        Some(Found { start: 0, end: text.len(), rule: 0, kind: DetectionKind::Ip, score: 900_000, why })
    }
}

pub(super) struct Ipv6;

impl Ipv6 {
    pub(super) fn new() -> Self {
        Self
    }
}

impl Detector for Ipv6 {
    fn rules(&self) -> Vec<Rule> {
        rule("pii.ipv6", "IPv6 address")
    }

    /// At the first colon: up to four hex digits stand before it.
    fn trigger(&self) -> Trigger {
        Trigger::Byte(b':')
    }

    fn behind(&self) -> usize {
        4
    }

    fn reach(&self) -> usize {
        V6_MAX + 2
    }

    fn rank(&self) -> u8 {
        74
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let before = spot.before();
        let group = before.bytes().rev().take(5).take_while(u8::is_ascii_hexdigit).count();
        let left = &before[..before.len() - group];
        if group > 4 || left.ends_with(':') || joined_end(left) {
            return None;
        }
        let part = |b: u8| b.is_ascii_hexdigit() || b == b':' || b == b'.';
        let end = (0..V6_MAX).take_while(|at| spot.byte(*at).is_some_and(part)).count();
        let head = &before[before.len() - group..];
        let tail = spot.slice(0, end).trim_end_matches('.');
        let address = format!("{head}{tail}");
        // `::` alone, and Rust's and C++'s `a::b`, are not addresses that anyone means.
        let groups = address.split(':').filter(|group| !group.is_empty()).count();
        if groups < 3 || spot.joined_at(end) || address.parse::<Ipv6Addr>().is_err() {
            return None;
        }
        let why = "hexadecimal groups with colons between";
        Some(Found { start: -(group as isize), end: tail.len(), rule: 0, kind: DetectionKind::Ip, score: 900_000, why })
    }
}
