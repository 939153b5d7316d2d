//! Applies a verdict to what a walk saw.

use std::borrow::Cow;

use haris_domain::{Detection, Verdict};
use haris_text::{placeholder, redact};

use crate::arguments::Rewriter;
use crate::json::Node;
use crate::media::{self, Content};
use crate::numbers;
use crate::walk::{Hit, Seen, Shape};

/// Replaces what `verdict` says to redact and takes out what must not travel on; `true` when
/// anything was redacted.
pub(crate) fn apply(node: &mut Node<'_>, seen: &Seen, verdict: &dyn Fn(&Detection) -> Verdict) -> bool {
    let redacts = |hit: &&Hit| hit.detections.iter().any(|detection| verdict(detection) == Verdict::Redact);
    let mut changed = false;
    for (index, hit) in seen.hits.iter().enumerate().filter(|(_, hit)| redacts(hit)) {
        changed = true;
        match hit.shape {
            Shape::Key => rename(node, hit, verdict),
            Shape::Spelling => {}
            _ => {
                // Found in two readings of one value: what is left of one would give away the other.
                let here = |other: &&Hit| other.steps == hit.steps;
                let around = seen.hits[..index].iter().rev().take_while(here);
                let mut around = around.chain(seen.hits[index + 1..].iter().take_while(here));
                let twice = around.any(|other| !matches!(other.shape, Shape::Key | Shape::Spelling) && redacts(&other));
                if let Some(value) = at(node, &hit.steps) {
                    *value = if twice { whole(hit, verdict) } else { redacted(value, hit, verdict) };
                }
            }
        }
    }
    for spelling in &seen.spellings {
        let steps = &spelling.steps;
        // The first two steps lead to the lane: a choice whose text was redacted loses its spelling.
        let lane = steps.get(..2);
        let spoilt = seen.hits.iter().filter(redacts).any(|hit| hit.steps.get(..2) == lane);
        match at(node, steps) {
            Some(Node::Array(entries)) if !spoilt => {
                entries.retain(|entry| matches!(entry, Node::Object(_)));
                entries.iter_mut().for_each(crate::spelling::normalise);
            }
            Some(value) => *value = Node::Null,
            None => {}
        }
    }
    // From the last to the first: taking one out moves those behind it.
    for steps in seen.drops.iter().rev() {
        if let Some((last, parent)) = steps.split_last() {
            match at(node, parent) {
                Some(Node::Object(members)) if (*last as usize) < members.len() => {
                    members.remove(*last as usize);
                }
                // Positions in a list mean something to the reader.
                Some(Node::Array(items)) => {
                    if let Some(item) = items.get_mut(*last as usize) {
                        *item = Node::Null;
                    }
                }
                _ => {}
            }
        }
    }
    changed
}

/// Redacts JSON source so that it stays JSON.
pub(crate) fn redact_source(text: &str, detections: &[Detection], verdict: &dyn Fn(&Detection) -> Verdict) -> String {
    let mut rewriter = Rewriter::default();
    let mut out = String::with_capacity(text.len());
    feed(&mut rewriter, text, 0, detections, verdict, &mut out);
    rewriter.finish(&mut out);
    out
}

/// Feeds a part of JSON source that starts at `offset` of the whole to a rewriter.
pub(crate) fn feed(
    rewriter: &mut Rewriter,
    text: &str,
    offset: usize,
    detections: &[Detection],
    verdict: &dyn Fn(&Detection) -> Verdict,
    out: &mut String,
) {
    let end = offset + text.len();
    let mut done = offset;
    let mut spans: Vec<(usize, usize, &Detection)> = Vec::new();
    for detection in detections.iter().filter(|detection| verdict(detection) == Verdict::Redact) {
        let (from, to) = (detection.span.start.max(offset), detection.span.end.min(end));
        match spans.last_mut() {
            _ if from >= to => {}
            Some((_, last, _)) if from < *last => *last = (*last).max(to),
            _ => spans.push((from, to, detection)),
        }
    }
    for (from, to, detection) in spans {
        rewriter.clean(&text[done - offset..from - offset], out);
        rewriter.redacted(&text[from - offset..to - offset], &placeholder(detection.kind), out);
        done = to;
    }
    rewriter.clean(&text[done - offset..], out);
}

fn redacted(value: &Node<'_>, hit: &Hit, verdict: &dyn Fn(&Detection) -> Verdict) -> Node<'static> {
    let plain = |text: &str| redact(text, 0, &hit.detections, verdict).0;
    match (value, hit.shape) {
        (Node::String(text), Shape::Source) => {
            Node::text(redact_source(&numbers::plain(text), &hit.detections, verdict))
        }
        (Node::String(text), Shape::Decoded) => Node::text(plain(&media::decoded(text).unwrap_or_default())),
        (Node::String(text), Shape::Wrapped(wrapping)) => match media::file(text) {
            Content::Text { text: inner, .. } => Node::text(media::wrap(text, wrapping, &plain(&inner))),
            Content::Elsewhere | Content::Opaque => Node::Null,
        },
        (Node::String(text), _) => Node::text(plain(text)),
        (Node::Number(digits), _) => Node::text(plain(&numbers::plain(digits))),
        (Node::Numbers(digits), _) => {
            Node::Numbers(Cow::Owned(redact_source(&numbers::plain(digits), &hit.detections, verdict)))
        }
        _ => Node::Null,
    }
}

/// A placeholder in place of the whole value.
fn whole(hit: &Hit, verdict: &dyn Fn(&Detection) -> Verdict) -> Node<'static> {
    let found = hit.detections.iter().find(|detection| verdict(detection) == Verdict::Redact);
    found.map_or(Node::Null, |found| Node::text(placeholder(found.kind)))
}

/// A redacted name stays unique in its object.
fn rename(node: &mut Node<'_>, hit: &Hit, verdict: &dyn Fn(&Detection) -> Verdict) {
    let Some((last, parent)) = hit.steps.split_last() else { return };
    let Some(Node::Object(members)) = at(node, parent) else { return };
    let Some((key, _)) = members.get(*last as usize) else { return };
    let base = redact(key, 0, &hit.detections, verdict).0;
    let mut name = base.clone();
    let mut count = 1;
    while members.iter().any(|(known, _)| *known == name) {
        count += 1;
        name = format!("{base} {count}");
    }
    members[*last as usize].0 = Cow::Owned(name);
}

/// The value that `steps` lead to.
pub(crate) fn at<'n, 'a>(node: &'n mut Node<'a>, steps: &[u32]) -> Option<&'n mut Node<'a>> {
    steps.iter().try_fold(node, |node, step| match node {
        Node::Array(items) => items.get_mut(*step as usize),
        Node::Object(members) => members.get_mut(*step as usize).map(|(_, value)| value),
        _ => None,
    })
}

/// The same, for reading.
pub(crate) fn find<'n, 'a>(node: &'n Node<'a>, steps: &[u32]) -> Option<&'n Node<'a>> {
    steps.iter().try_fold(node, |node, step| match node {
        Node::Array(items) => items.get(*step as usize),
        Node::Object(members) => members.get(*step as usize).map(|(_, value)| value),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use haris_domain::DetectionKind;

    use super::*;
    use crate::json::{Bounds, parse};
    use crate::walk::Spelling;

    fn card(span: std::ops::Range<usize>) -> Vec<Detection> {
        vec![Detection { rule: "test".into(), kind: DetectionKind::Card, span, score: 1 }]
    }

    fn hit(steps: &[u32], shape: Shape, span: std::ops::Range<usize>) -> Hit {
        Hit { steps: steps.to_vec(), field: String::new(), shape, detections: card(span) }
    }

    #[track_caller]
    fn check(text: &str, seen: &Seen, expected: &str) {
        let mut node = parse(text.as_bytes(), Bounds { depth: 9, values: 99 }).unwrap();
        apply(&mut node, seen, &|_| Verdict::Redact);
        assert_eq!(String::from_utf8(node.to_json()).unwrap(), expected);
    }

    #[test]
    fn each_shape_stays_what_it_is() {
        let seen = |hits| Seen { hits, ..Seen::default() };
        check(r#"{"a":"x4111"}"#, &seen(vec![hit(&[0], Shape::Text, 1..5)]), r#"{"a":"x[REDACTED:CARD]"}"#);
        check(r#"{"a":4111}"#, &seen(vec![hit(&[0], Shape::Digits, 0..4)]), r#"{"a":"[REDACTED:CARD]"}"#);
        check(r#"[1,4111]"#, &seen(vec![hit(&[], Shape::Digits, 3..7)]), r#"[1,"[REDACTED:CARD]"]"#);
        check(r#"["[4111]"]"#, &seen(vec![hit(&[0], Shape::Source, 1..5)]), r#"["[\"[REDACTED:CARD]\"]"]"#);
        check(
            r#"{"4111":1,"4112":2}"#,
            &seen(vec![hit(&[0], Shape::Key, 0..4), hit(&[1], Shape::Key, 0..4)]),
            r#"{"[REDACTED:CARD]":1,"[REDACTED:CARD] 2":2}"#,
        );
    }

    #[test]
    fn a_redacted_choice_loses_its_spelling_and_no_other_does() {
        let text = r#"{"choices":[{"t":"4111","l":[{"token":"4111"}]},{"t":"hi","l":[{"token":"hi"}]}]}"#;
        let spelling = |steps: &[u32]| Spelling { steps: steps.to_vec(), place: crate::table::ROOT, lanes: [None; 2] };
        let spellings = vec![spelling(&[0, 0, 1]), spelling(&[0, 1, 1])];
        check(
            text,
            &Seen { hits: vec![hit(&[0, 0, 0], Shape::Text, 0..4)], spellings, ..Seen::default() },
            r#"{"choices":[{"t":"[REDACTED:CARD]","l":null},{"t":"hi","l":[{"token":"hi"}]}]}"#,
        );
    }

    #[test]
    fn what_is_dropped_is_gone() {
        let seen = Seen { drops: vec![vec![0], vec![1, 0]], ..Seen::default() };
        check(r#"{"a":1,"b":{"c":2,"d":3}}"#, &seen, r#"{"b":{"d":3}}"#);
    }
}
