//! `logprobs`: lists of tokens that spell the text beside them.
//!
//! Whoever redacts the text and leaves these has redacted nothing, so they are inspected as the text
//! they spell and dropped with it. An entry's `bytes` are kept only where they spell its `token`:
//! otherwise they are a second text that nobody inspected.

use crate::json::Node;

/// The text that a list of entries spells.
pub(crate) fn tokens(entries: &Node<'_>) -> String {
    entries.items().iter().filter_map(token).collect()
}

/// The text of one entry.
pub(crate) fn token<'n>(entry: &'n Node<'_>) -> Option<&'n str> {
    entry.get("token").and_then(Node::as_str)
}

/// Tokens that the model considered and did not take; inspected one by one.
pub(crate) fn alternatives<'n>(entries: &'n Node<'_>) -> impl Iterator<Item = &'n str> {
    entries.items().iter().flat_map(|entry| alternatives_of(entry))
}

/// The alternatives of one entry. The taken token is usually among them, and skipped.
pub(crate) fn alternatives_of<'n>(entry: &'n Node<'_>) -> impl Iterator<Item = &'n str> {
    let taken = token(entry);
    let all = entry.get("top_logprobs").map(Node::items).unwrap_or_default();
    // Shorter ones carry nothing that any rule could match.
    all.iter().filter_map(token).filter(move |text| text.len() >= 6 && Some(*text) != taken)
}

/// Leaves what was inspected: known members, and bytes that repeat the token.
pub(crate) fn normalise(entry: &mut Node<'_>) {
    let Node::Object(members) = entry else {
        *entry = Node::Null;
        return;
    };
    members.retain(|(key, value)| match &**key {
        "token" => matches!(value, Node::String(_)),
        "logprob" => matches!(value, Node::Number(_) | Node::Null),
        "bytes" | "top_logprobs" => true,
        _ => false,
    });
    let text = members.iter().find(|(key, _)| key == "token").and_then(|(_, value)| value.as_str()).map(str::to_owned);
    for (key, value) in members {
        match &**key {
            "bytes" if !spells(value, text.as_deref().unwrap_or_default()) => *value = Node::Null,
            "top_logprobs" => match value {
                Node::Array(items) => items.iter_mut().for_each(normalise),
                other => *other = Node::Null,
            },
            _ => {}
        }
    }
}

fn spells(bytes: &Node<'_>, text: &str) -> bool {
    let Node::Numbers(digits) = bytes else { return *bytes == Node::Array(Vec::new()) && text.is_empty() };
    let mut left = text.bytes();
    let mut listed = digits.trim_matches(['[', ']']).split(',').map(|number| number.trim().parse::<u8>().ok());
    listed.all(|byte| byte.is_some() && byte == left.next()) && left.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Bounds, parse};

    #[test]
    fn only_bytes_that_repeat_the_token_stay() {
        let mut node = parse(
            br#"[{"token":"Hi","logprob":-0.1,"bytes":[72, 105],"top_logprobs":[{"token":"secret-token","bytes":[1],"x":1}],"y":"z"},"stray"]"#,
            Bounds { depth: 9, values: 99 },
        )
        .unwrap();
        assert_eq!(tokens(&node), "Hi");
        assert_eq!(alternatives(&node).collect::<Vec<_>>(), ["secret-token"]);
        if let Node::Array(items) = &mut node {
            items.iter_mut().for_each(normalise);
        }
        assert_eq!(
            String::from_utf8(node.to_json()).unwrap(),
            r#"[{"token":"Hi","logprob":-0.1,"bytes":[72, 105],"top_logprobs":[{"token":"secret-token","bytes":null}]},null]"#
        );
    }
}
