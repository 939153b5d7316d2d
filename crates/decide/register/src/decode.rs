//! Reading an event's data: what is missing or of another type counts as empty, for a fold never
//! fails on what is already sealed.

use serde_json::{Map, Value};

pub(crate) fn text(data: &Map<String, Value>, key: &str) -> String {
    data.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn integer(data: &Map<String, Value>, key: &str) -> Option<i64> {
    data.get(key).and_then(Value::as_i64)
}

pub(crate) fn flag(data: &Map<String, Value>, key: &str) -> i64 {
    i64::from(data.get(key).and_then(Value::as_bool).unwrap_or(false))
}

pub(crate) fn texts(data: &Map<String, Value>, key: &str) -> Vec<String> {
    let all = data.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}
