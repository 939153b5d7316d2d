//! E-mail addresses.

use haris_domain::{DetectionKind, Rule, Severity};

use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot, joined_end};

/// RFC 5321 section 4.5.3.1.
const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;
const LABEL_MAX: usize = 63;

/// `logo@2x.png` is a picture, `pkg@1.2.js` a file.
const FILE_ENDINGS: &[&str] =
    &["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "ts", "json", "html", "py", "rs"];

pub(super) struct Email;

impl Email {
    pub(super) fn new() -> Self {
        Self
    }
}

impl Detector for Email {
    fn rules(&self) -> Vec<Rule> {
        vec![face(
            "pii.email",
            Severity::Medium,
            "E-mail address",
            "The address reaches, and mostly names, one person.",
            "Leave it out or send a token.",
            &["QA-LAW-13-2016", "OWASP-LLM-2025:LLM02", "CWE-359"],
        )]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Byte(b'@')
    }

    fn behind(&self) -> usize {
        LOCAL_MAX
    }

    fn reach(&self) -> usize {
        DOMAIN_MAX + 3
    }

    fn rank(&self) -> u8 {
        80
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let before = spot.before();
        let local = before.bytes().rev().take(LOCAL_MAX).take_while(|b| is_local(*b)).count();
        let local = before[before.len() - local..].trim_start_matches(['.', '-', '\'']);
        if local.is_empty() || local.ends_with('.') {
            return None;
        }
        // `٭user@` in Arabic prose is written on to the word before it; a letter there is part of a
        // name that this rule cannot read, and the ASCII rest is still an address.
        let end = domain_end(spot)?;
        let left = &before[..before.len() - local.len()];
        if left.ends_with("://") || (joined_end(left) && local.len() < 2) {
            return None;
        }
        // `git@host:path` names a repository.
        if local == "git" && spot.byte(end) == Some(b':') {
            return None;
        }
        let why = "a mailbox, `@`, and a domain name";
        Some(Found { start: -(local.len() as isize), end, rule: 0, kind: DetectionKind::Email, score: 980_000, why })
    }
}

fn is_local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(&b) && !b"=/'`{|}?&!*#$".contains(&b)
}

/// Where the domain name behind the `@` ends: labels of letters, digits and hyphens, the last one
/// of letters.
fn domain_end(spot: &Spot<'_>) -> Option<usize> {
    let mut at = 1;
    let mut end = None;
    loop {
        let start = at;
        while at - start <= LABEL_MAX && spot.byte(at).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'-') {
            at += 1;
        }
        let label = spot.slice(start, at).trim_end_matches('-');
        if label.is_empty() || label.len() > LABEL_MAX || label.starts_with('-') {
            break;
        }
        let top = start > 1 && label.len() >= 2 && label.bytes().all(|b| b.is_ascii_alphabetic());
        end = if top && !FILE_ENDINGS.contains(&label.to_ascii_lowercase().as_str()) {
            Some(start + label.len())
        } else if top {
            None
        } else {
            end.filter(|_| !label.bytes().any(|b| b.is_ascii_alphabetic()))
        };
        if at > DOMAIN_MAX || spot.byte(at) != Some(b'.') || label.len() < at - start {
            break;
        }
        at += 1;
    }
    end.filter(|end| !spot.joined_at(*end))
}
