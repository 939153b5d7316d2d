//! Embeddings without a model: texts that share words lie near one another, and the same text
//! always lies in the same place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::MODEL;
use crate::chat::tokens;

const DIMENSIONS_DEFAULT: usize = 32;
const DIMENSIONS_MAX: u64 = 1024;
const INPUTS_MAX: usize = 2048;

/// Answers an embeddings request; the error is a sentence for the caller and the field it is about.
pub(crate) fn answer(body: &Value) -> Result<Value, (&'static str, &'static str)> {
    let inputs: Option<Vec<&str>> = match &body["input"] {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) if !list.is_empty() && list.len() <= INPUTS_MAX => list.iter().map(Value::as_str).collect(),
        _ => None,
    };
    let inputs = inputs.ok_or(("`input` must be a text or a list of texts", "input"))?;
    let dimensions = match &body["dimensions"] {
        Value::Null => Some(DIMENSIONS_DEFAULT),
        asked => asked.as_u64().filter(|d| (1..=DIMENSIONS_MAX).contains(d)).and_then(|d| usize::try_from(d).ok()),
    };
    let dimensions = dimensions.ok_or(("`dimensions` must be between 1 and 1024", "dimensions"))?;
    let packed = body["encoding_format"] == "base64";
    let data: Vec<Value> = (0..)
        .zip(&inputs)
        .map(|(index, text): (u64, _)| {
            let vector = place(text, dimensions);
            let embedding = if packed { pack(&vector) } else { json!(vector) };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    let count: u64 = inputs.iter().map(|text| tokens(text)).sum();
    Ok(json!({
        "object": "list", "data": data, "model": MODEL,
        "usage": { "prompt_tokens": count, "total_tokens": count },
    }))
}

/// A unit vector: each word adds or takes one at a place that its letters choose.
fn place(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    // The empty text lies somewhere too: a zero vector has no direction.
    vector[0] = 0.5;
    for word in text.split_whitespace() {
        let hash = fnv(word.to_lowercase().bytes());
        let at = usize::try_from(hash % dimensions as u64).unwrap_or(0);
        vector[at] += if hash >> 63 == 0 { 1.0 } else { -1.0 };
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}

/// Little-endian floats in base64: what the official clients ask for.
fn pack(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    STANDARD.encode(bytes).into()
}

/// FNV-1a, so that ids and places are the same on every machine and in every build.
pub(crate) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_texts_lie_near() {
        let dot = |a: &str, b: &str| -> f32 { place(a, 64).iter().zip(place(b, 64)).map(|(x, y)| x * y).sum() };
        assert!(dot("stop my card", "stop my lost card") > dot("stop my card", "branch opening hours"));
        assert!((dot("", "") - 1.0).abs() < 1e-5);
    }

    #[test]
    fn both_encodings_say_the_same() {
        let list = answer(&json!({"input": ["a b", "c"], "dimensions": 4})).unwrap();
        let packed = answer(&json!({"input": ["a b", "c"], "dimensions": 4, "encoding_format": "base64"})).unwrap();
        for index in 0..2 {
            let bytes = STANDARD.decode(packed["data"][index]["embedding"].as_str().unwrap()).unwrap();
            let floats: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            assert_eq!(json!(floats), list["data"][index]["embedding"]);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for input in [json!([[1, 2]]), json!([]), json!(5), json!(null)] {
            assert!(answer(&json!({ "input": input })).is_err());
        }
        assert!(answer(&json!({"input": "a", "dimensions": 0})).is_err());
    }
}
