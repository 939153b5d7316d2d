//! Which of the offered tools the teller calls, and with what arguments.

use serde_json::{Map, Value, json};

use crate::weak::account_in;
use crate::wishes::Wish;
use crate::{vault, wishes};

/// A function that the caller offers.
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: String,
    /// A JSON schema; the teller fills the properties of its top level.
    pub(crate) parameters: Value,
}

/// A call that the teller makes.
pub(crate) struct Call {
    pub(crate) name: String,
    /// JSON text, as the protocol has it.
    pub(crate) arguments: String,
}

/// More properties than this are a test of somebody's parser, not a bank's tool.
const PROPERTIES_MAX: usize = 32;

impl Tool {
    /// Whether the tool's name or description speaks of what is wished.
    fn serves(&self, entry: &wishes::Entry) -> bool {
        let face = format!("{} {}", self.name, self.description).to_lowercase();
        entry.tool_words.iter().any(|word| face.contains(word))
    }

    /// A call of this tool about `question`.
    pub(crate) fn call(&self, question: &str) -> Call {
        let properties = self.parameters["properties"].as_object();
        let arguments: Map<String, Value> = properties
            .into_iter()
            .flatten()
            .take(PROPERTIES_MAX)
            .map(|(name, schema)| (name.clone(), argument(name, schema, question)))
            .collect();
        Call { name: self.name.clone(), arguments: Value::Object(arguments).to_string() }
    }
}

/// The first offered tool that serves what the question wishes.
pub(crate) fn fitting<'a>(tools: &'a [Tool], question: &str) -> Option<&'a Tool> {
    let entry = wishes::wish_of(&question.to_lowercase())?;
    tools.iter().find(|tool| tool.serves(entry))
}

/// The first offered tool that moves money.
pub(crate) fn moving_money(tools: &[Tool]) -> Option<&Tool> {
    let entry = wishes::WISHES.iter().find(|entry| entry.wish == Wish::Transfer)?;
    tools.iter().find(|tool| tool.serves(entry))
}

/// A value for one property: what the question says, or something plain of the right type.
fn argument(name: &str, schema: &Value, question: &str) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("integer") => json!(number_in(question).map_or(1, |number| number.trunc() as i64)),
        Some("number") => json!(number_in(question).unwrap_or(1.0)),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => json!({}),
        Some("null") => Value::Null,
        _ => json!(words_for(&name.to_lowercase(), question)),
    }
}

/// Text for a property, by what the property is called.
fn words_for(property: &str, question: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| property.contains(word));
    if has(&["iban", "account", "beneficiary", "recipient", "destination"]) || property == "to" {
        return account_in(question).unwrap_or_else(|| vault::CUSTOMERS[0].iban.to_owned());
    }
    if has(&["customer", "client", "name"]) {
        return vault::customer_named(&question.to_lowercase()).unwrap_or(&vault::CUSTOMERS[0]).name.to_owned();
    }
    if has(&["branch", "city", "location", "place"]) {
        return "West Bay".to_owned();
    }
    if has(&["currency"]) {
        return "QAR".to_owned();
    }
    if has(&["amount"]) {
        return number_in(question).unwrap_or(1.0).to_string();
    }
    question.chars().take(200).collect()
}

/// The first number of a text that is no account: at most nine digits, perhaps with a fraction.
fn number_in(text: &str) -> Option<f64> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
        .map(|word| word.trim_matches('.'))
        .filter(|word| !word.is_empty() && word.len() <= 9 && word.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        .find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer() -> Tool {
        Tool {
            name: "make_transfer".to_owned(),
            description: "Moves money".to_owned(),
            parameters: json!({"type": "object", "properties": {
                "to_account": {"type": "string"}, "amount": {"type": "number"},
                "currency": {"type": "string", "enum": ["QAR", "USD"]}, "urgent": {"type": "boolean"},
            }}),
        }
    }

    #[test]
    fn arguments_come_from_the_question_and_fit_the_schema() {
        let call = transfer().call("Transfer 250.5 to QA59HRPB000000000885913640258 please");
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
        assert_eq!(
            arguments,
            json!({"to_account": "QA59HRPB000000000885913640258", "amount": 250.5, "currency": "QAR", "urgent": true})
        );
    }

    #[test]
    fn a_tool_is_called_only_for_what_it_serves() {
        let tools = [transfer()];
        assert!(fitting(&tools, "Transfer 5 to my mother").is_some());
        assert!(fitting(&tools, "أريد تحويل مبلغ").is_some());
        assert!(fitting(&tools, "When is the branch open?").is_none());
        assert!(fitting(&tools, "Tell me a story").is_none());
    }
}
