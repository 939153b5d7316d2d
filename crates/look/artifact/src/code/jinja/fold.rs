//! Texts that expressions of literals give: names are written apart to be hidden.

use crate::syntax::tree::{Expr, ExprId, Program};

/// Distinct literals folded into one name.
const FOLD_DEPTH_MAX: u32 = 60;

/// `set a = 'x' ~ 'y'` makes `a` a constant for what follows.
pub(super) fn learn(program: &Program, id: ExprId, constants: &mut Vec<(String, String)>) {
    let Expr::Call { arguments, .. } = program.expr(id) else { return };
    for argument in arguments {
        let Some(name) = &argument.name else { continue };
        if constants.len() < 1000
            && let Some(value) = fold(program, argument.value, constants, 0)
        {
            constants.push((name.clone(), value));
        }
    }
}

/// The text that an expression of literals gives.
pub(super) fn fold(program: &Program, id: ExprId, constants: &[(String, String)], depth: u32) -> Option<String> {
    if depth > FOLD_DEPTH_MAX {
        return None;
    }
    let inner = |id: ExprId| fold(program, id, constants, depth + 1);
    let text = match program.expr(id) {
        Expr::Text(text) => text.clone(),
        Expr::Number(number) => number.clone(),
        Expr::Name(name) => constants.iter().rev().find(|(known, _)| known == name)?.1.clone(),
        Expr::Binary { op: "~" | "+", left, right } => inner(*left)? + &inner(*right)?,
        Expr::Binary { op: "*", left, right } => {
            let times: usize = inner(*right)?.parse().ok()?;
            let text = inner(*left)?;
            if text.len().checked_mul(times)? > 4096 {
                return None;
            }
            text.repeat(times)
        }
        Expr::Binary { op: "%", left, right } => {
            let form = inner(*left)?;
            let values: Vec<String> = match program.expr(*right) {
                Expr::Tuple(items) => items.iter().map(|item| inner(*item)).collect::<Option<_>>()?,
                _ => vec![inner(*right)?],
            };
            let mut values = values.into_iter();
            let mut out = String::new();
            let mut rest = form.as_str();
            while let Some(at) = rest.find("%s") {
                out.push_str(&rest[..at]);
                out.push_str(&values.next()?);
                rest = &rest[at + 2..];
            }
            out + rest
        }
        Expr::List(items) | Expr::Tuple(items) => {
            items.iter().map(|item| inner(*item)).collect::<Option<Vec<_>>>()?.concat()
        }
        Expr::Filter { of, name, arguments } => {
            let text = inner(*of)?;
            let first = arguments.first().map(|argument| argument.value);
            match name.as_str() {
                "lower" => text.to_lowercase(),
                "upper" => text.to_uppercase(),
                "reverse" => text.chars().rev().collect(),
                "string" | "safe" | "trim" | "list" | "e" | "escape" | "forceescape" => text,
                "join" => text,
                "replace" => {
                    let from = inner(arguments.first()?.value)?;
                    let to = inner(arguments.get(1)?.value)?;
                    if from.is_empty() { text } else { text.replace(&from, &to) }
                }
                "format" => match first {
                    Some(value) => {
                        text.replacen("%s", &inner(value)?, 1).replacen("%c", &character(&inner(value)?)?, 1)
                    }
                    None => text,
                },
                _ => return None,
            }
        }
        Expr::Index { of, index } => {
            let text = inner(*of)?;
            match program.expr(*index) {
                Expr::Slice([None, None, Some(step)]) if inner_number(program, *step) == Some(-1) => {
                    text.chars().rev().collect()
                }
                Expr::Slice([low, high, None]) => {
                    let number = |part: &Option<ExprId>, other: usize| match part {
                        Some(id) => inner_number(program, *id).and_then(|n| usize::try_from(n).ok()),
                        None => Some(other),
                    };
                    let count = text.chars().count();
                    let (low, high) = (number(low, 0)?, number(high, count)?);
                    text.chars().skip(low).take(high.saturating_sub(low)).collect()
                }
                _ => text.chars().nth(usize::try_from(inner_number(program, *index)?).ok()?)?.to_string(),
            }
        }
        Expr::Call { of, arguments } => match program.expr(*of) {
            Expr::Attribute { of, name } if name == "join" => {
                let glue = inner(*of)?;
                match program.expr(arguments.first()?.value) {
                    Expr::List(items) | Expr::Tuple(items) => {
                        items.iter().map(|item| inner(*item)).collect::<Option<Vec<_>>>()?.join(&glue)
                    }
                    _ => inner(arguments.first()?.value)?,
                }
            }
            Expr::Attribute { of, name } if name == "replace" => {
                let (from, to) = (inner(arguments.first()?.value)?, inner(arguments.get(1)?.value)?);
                if from.is_empty() { inner(*of)? } else { inner(*of)?.replace(&from, &to) }
            }
            Expr::Attribute { of, name } if matches!(name.as_str(), "lower" | "strip" | "format") => {
                let mut text = inner(*of)?;
                for argument in arguments {
                    text = text.replacen("{}", &inner(argument.value)?, 1);
                }
                text.to_lowercase()
            }
            _ => return None,
        },
        _ => return None,
    };
    (text.len() <= 64 << 10).then_some(text)
}

fn character(code: &str) -> Option<String> {
    code.parse().ok().and_then(char::from_u32).map(|c| c.to_string())
}

pub(super) fn inner_number(program: &Program, id: ExprId) -> Option<i64> {
    match program.expr(id) {
        Expr::Number(number) => number.parse().ok(),
        Expr::Unary { op: "-", of } => match program.expr(*of) {
            Expr::Number(number) => number.parse::<i64>().ok().map(|number| -number),
            _ => None,
        },
        _ => None,
    }
}
