//! What the OpenAI protocols share: error shape, usage, model names.

use std::sync::LazyLock;

use haris_domain::{Context, EventId};

use super::{Ask, Usage};
use crate::json::{Node, write_string};
use crate::problem::Problem;
use crate::table::{Field, Form, From, Table};

pub(super) const OUTPUT: From = From::Is(Context::Output);
pub(super) const USER: From = From::Is(Context::User);
pub(super) const TOOL: From = From::Is(Context::Tool);
pub(super) const DOCUMENT: From = From::Is(Context::Document);

/// A row.
pub(super) const fn row(path: &'static str, form: Form, from: From) -> Field {
    Field { path, form, from }
}

/// Texts in an error come from outside like any answer.
pub(super) static FAILURE: LazyLock<Table> = LazyLock::new(|| {
    const ROWS: &[Field] = &[
        row("error", Form::Text, OUTPUT),
        row("error.message", Form::Text, OUTPUT),
        row("error.type", Form::Text, OUTPUT),
        row("error.param", Form::Text, OUTPUT),
        row("error.code", Form::Text, OUTPUT),
        row("error.status", Form::Text, OUTPUT),
        row("error.metadata", Form::Any, OUTPUT),
        row("error.innererror", Form::Any, OUTPUT),
        // Servers that answer in a shape of their own.
        row("message", Form::Text, OUTPUT),
        row("detail", Form::Any, OUTPUT),
        row("object", Form::Text, OUTPUT),
        row("type", Form::Text, OUTPUT),
        row("param", Form::Text, OUTPUT),
        row("code", Form::Text, OUTPUT),
    ];
    Table::new(&[ROWS], None, Context::Output)
});

pub(super) fn ask(body: &Node<'_>) -> Result<Ask, Problem> {
    let invalid =
        |message: &str, field: &str| Problem::new(400, "invalid_request", "malformed-request", message).in_field(field);
    if !matches!(body, Node::Object(_)) {
        return Err(Problem::new(400, "invalid_request", "malformed-request", "The request body is a JSON object."));
    }
    let model = body.get("model").and_then(Node::as_str);
    let model = model.filter(|model| !model.is_empty()).ok_or_else(|| invalid("`model` names a model.", "model"))?;
    let stream = match body.get("stream") {
        None | Some(Node::Null | Node::Bool(false)) => false,
        Some(Node::Bool(true)) => true,
        Some(_) => return Err(invalid("`stream` is true or false.", "stream")),
    };
    Ok(Ask { model: model.to_owned(), stream })
}

pub(super) fn usage(answer: &Node<'_>) -> Usage {
    let count = |key| answer.get("usage").and_then(|usage| usage.get(key)).and_then(Node::as_u64);
    Usage { tokens_in: count("prompt_tokens"), tokens_out: count("completion_tokens") }
}

/// `{"error":{"message","type","param","code"}}`; for a block also the rules that spoke, and the
/// event that `haris why` explains.
pub(super) fn problem(problem: &Problem, event: Option<EventId>) -> Vec<u8> {
    let kind = match problem.status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"error\":{\"message\":");
    write_string(&problem.message, &mut out);
    out.extend_from_slice(b",\"type\":");
    write_string(kind, &mut out);
    out.extend_from_slice(b",\"param\":");
    match &problem.field {
        Some(field) => write_string(field, &mut out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"code\":");
    write_string(problem.code, &mut out);
    if !problem.findings.is_empty() {
        out.extend_from_slice(b",\"findings\":[");
        for (index, rule) in problem.findings.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(rule, &mut out);
        }
        out.push(b']');
    }
    if let Some(event) = event {
        out.extend_from_slice(b",\"event\":");
        write_string(&event.to_string(), &mut out);
    }
    out.extend_from_slice(b"}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Bounds, parse};

    #[test]
    fn an_error_has_the_shape_clients_know() {
        let mut blocked = Problem::new(400, "content_policy_violation", "blocked", "no \"quotes\"").in_field("user");
        blocked.findings = vec!["secret.token".to_owned(), "pii.card".to_owned()];
        let body = problem(&blocked, None);
        expect_test::expect![[
            r#"{"error":{"message":"no \"quotes\"","type":"invalid_request_error","param":"user","code":"content_policy_violation","findings":["secret.token","pii.card"]}}"#
        ]]
        .assert_eq(std::str::from_utf8(&body).unwrap());
    }

    #[test]
    fn a_request_names_its_model() {
        let read = |text: &str| ask(&parse(text.as_bytes(), Bounds { depth: 9, values: 99 }).unwrap());
        assert_eq!(read(r#"{"model":"m","stream":true}"#), Ok(Ask { model: "m".to_owned(), stream: true }));
        for bad in ["[]", "{}", r#"{"model":1}"#, r#"{"model":""}"#, r#"{"model":"m","stream":"yes"}"#] {
            assert_eq!(read(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
