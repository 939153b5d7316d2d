//! Decoders that code hides behind: base64 and its kin, rot13, zlib. Undone for constants, within a budget.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE};

use super::builtin::within;
use super::value::Value;

/// Padding is optional here: a decoder that insists would let a sloppy encoder pass.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// The codec that a decoding function undoes; empty where an argument names it.
#[must_use]
pub(crate) fn decoder(path: &str) -> Option<&'static str> {
    Some(match path {
        "base64.b64decode"
        | "base64.standard_b64decode"
        | "base64.decodebytes"
        | "base64.decodestring"
        | "binascii.a2b_base64" => "base64",
        "base64.urlsafe_b64decode" => "base64url",
        "base64.b32decode" => "base32",
        "base64.b16decode" | "binascii.unhexlify" | "binascii.a2b_hex" => "hex",
        "base64.b85decode" => "base85",
        "base64.a85decode" => "ascii85",
        "zlib.decompress" => "zlib",
        "gzip.decompress" => "gzip",
        "bz2.decompress" => "bz2",
        "lzma.decompress" => "lzma",
        "codecs.decode" => "",
        _ => return None,
    })
}

pub(super) fn unhex(text: &str) -> Value {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    hex::decode(digits).map_or(Value::Unknown, |bytes| Value::bytes(&bytes))
}

pub(super) fn codec(bytes: &[u8], name: &str, budget: &mut usize) -> Value {
    let kept: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = match name.to_ascii_lowercase().replace('-', "_").as_str() {
        "base64" | "base64_codec" => GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT)
            .decode(&kept)
            .ok()
            .or_else(|| STANDARD.decode(&kept).ok()),
        "base64url" => GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT)
            .decode(&kept)
            .ok()
            .or_else(|| URL_SAFE.decode(&kept).ok()),
        "base32" => base32(&kept),
        "hex" | "hex_codec" => return unhex(&String::from_utf8_lossy(bytes)),
        "base85" => base85(&kept, BASE85),
        "ascii85" => base85(&kept, b""),
        "rot13" | "rot_13" => {
            let text: String = String::from_utf8_lossy(bytes).chars().map(rot13).collect();
            return Value::text(&text);
        }
        "zlib" | "zlib_codec" => inflate(flate2::read::ZlibDecoder::new(bytes), *budget),
        "gzip" => inflate(flate2::read::MultiGzDecoder::new(bytes), *budget),
        "utf_8" | "utf8" | "ascii" | "" => return Value::text(&String::from_utf8_lossy(bytes)),
        "unicode_escape" | "string_escape" => {
            return Value::text(&super::token::unescape(&String::from_utf8_lossy(bytes)));
        }
        _ => None,
    };
    match decoded {
        Some(bytes) if within(budget, bytes.len()) => Value::bytes(&bytes),
        _ => Value::Unknown,
    }
}

fn inflate(reader: impl Read, budget: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let limit = u64::try_from(budget.min(super::fold::CONSTANT_BYTES_MAX)).unwrap_or(0);
    // What was unpacked before an error counts: a truncated payload still says what it is.
    let _ = reader.take(limit).read_to_end(&mut out);
    if out.is_empty() { None } else { Some(out) }
}

fn rot13(c: char) -> char {
    match c {
        'a'..='z' => char::from((c as u8 - b'a' + 13) % 26 + b'a'),
        'A'..='Z' => char::from((c as u8 - b'A' + 13) % 26 + b'A'),
        _ => c,
    }
}

fn base32(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.iter().filter(|byte| **byte != b'=') {
        let digit = match byte.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        held = (held << 5) | u32::from(digit);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((held >> bits) & 0xff).unwrap_or(0));
            held &= (1 << bits) - 1;
        }
    }
    Some(out)
}

const BASE85: &[u8; 85] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Git's base 85, or Adobe's where the alphabet is empty.
fn base85(text: &[u8], alphabet: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut group: Vec<u32> = Vec::with_capacity(5);
    for byte in text {
        if alphabet.is_empty() && *byte == b'z' && group.is_empty() {
            out.extend([0; 4]);
            continue;
        }
        let digit = if alphabet.is_empty() {
            if !(b'!'..=b'u').contains(byte) {
                continue;
            }
            usize::from(byte - b'!')
        } else {
            alphabet.iter().position(|known| known == byte)?
        };
        group.push(u32::try_from(digit).ok()?);
        if group.len() == 5 {
            out.extend(group_of_85(&group)?);
            group.clear();
        }
    }
    if !group.is_empty() {
        let kept = group.len() - 1;
        group.resize(5, 84);
        out.extend(group_of_85(&group)?.into_iter().take(kept));
    }
    Some(out)
}

fn group_of_85(digits: &[u32]) -> Option<[u8; 4]> {
    let mut number = 0u32;
    for digit in digits {
        number = number.checked_mul(85)?.checked_add(*digit)?;
    }
    Some(number.to_be_bytes())
}
