//! Parts of one text that come apart: servers put the parts of a message together before the model
//! reads them, so what is found only then is found.

use std::ops::Range;

use haris_domain::{Context, Detection};
use haris_text::Engine;

/// Some servers put nothing between two parts, some a line break.
const BETWEEN: [&str; 2] = ["", "\n"];

/// Detections that reach over the border of two parts, cut to each part: by part, in order. `whole`
/// gets every text that was read and what reached over a border in it.
pub(crate) fn across(
    engine: &Engine,
    parts: &[&str],
    context: Context,
    mut whole: impl FnMut(&str, &[Detection]),
) -> Vec<(usize, Vec<Detection>)> {
    let mut by_part = vec![Vec::new(); parts.len()];
    for between in BETWEEN {
        let text = parts.join(between);
        let mut spans: Vec<Range<usize>> = Vec::with_capacity(parts.len());
        for part in parts {
            let start = spans.last().map_or(0, |last| last.end + between.len());
            spans.push(start..start + part.len());
        }
        let mut found = engine.inspect(&text, context).detections;
        let first = |detection: &Detection| spans.partition_point(|span| span.end <= detection.span.start);
        found.retain(|detection| spans.get(first(detection)).is_none_or(|span| !encloses(span, &detection.span)));
        whole(&text, &found);
        for detection in found {
            for (index, span) in spans.iter().enumerate().skip(first(&detection)) {
                if span.start >= detection.span.end {
                    break;
                }
                let cut = detection.span.start.max(span.start)..detection.span.end.min(span.end);
                if !cut.is_empty() {
                    let span = cut.start - span.start..cut.end - span.start;
                    by_part[index].push(Detection { span, ..detection.clone() });
                }
            }
        }
    }
    let found = by_part.into_iter().enumerate().filter(|(_, found)| !found.is_empty());
    found.map(|(index, found)| (index, in_order(found))).collect()
}

/// Detections in the order that everything else expects, each once.
pub(crate) fn in_order(mut found: Vec<Detection>) -> Vec<Detection> {
    found.sort_by(|a, b| (a.span.start, a.span.end, &a.rule).cmp(&(b.span.start, b.span.end, &b.rule)));
    found.dedup();
    found
}

fn encloses(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_over_a_border_is_cut_to_the_parts() {
        let engine = Engine::new();
        let parts = ["card 4111 1111", "", " 1111", " 1111 and fatima@example.qa"];
        let mut read = Vec::new();
        let found = across(&engine, &parts, Context::User, |text, found| read.push((text.to_owned(), found.len())));
        let cut: Vec<_> = found.iter().map(|(part, found)| (*part, &parts[*part][found[0].span.clone()])).collect();
        assert_eq!(cut, [(0, "4111 1111"), (2, " 1111"), (3, " 1111")]);
        assert!(found.iter().all(|(_, found)| found[0].kind == haris_domain::DetectionKind::Card));
        assert_eq!(read[0], (parts.concat(), 1));
        assert_eq!(across(&engine, &["4111", "hello"], Context::User, |_, _| {}), []);
    }
}
