//! Opened payloads against what their events committed to.

use std::io::{Read, Seek};

use aws_lc_rs::hmac;

use super::Run;
use crate::bundle::{PAYLOAD_BYTES_MAX, Place, commit_key_member, payload_member};
use crate::leaf::LeafView;
use crate::zip::{ZipError, ZipReader};

/// Which of a bundle's payloads comes next.
pub(super) struct Payloads {
    pub(super) names: Vec<String>,
    pub(super) next: usize,
}

impl Run<'_> {
    /// Checks the opened payloads of one event against what it committed to.
    pub(super) fn payloads<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        view: &LeafView<'_>,
        payloads: &mut Payloads,
    ) -> Result<Vec<String>, ZipError> {
        let mut opened = Vec::new();
        while let Some(member) = payloads.names.get(payloads.next) {
            let name = member.strip_prefix("payloads/").and_then(|rest| rest.strip_prefix(view.id.as_ref()));
            let Some(name) = name.and_then(|rest| rest.strip_prefix('/')).map(str::to_owned) else { break };
            payloads.next += 1;
            let key_member = commit_key_member(&view.id, &name);
            if payloads.names.get(payloads.next) == Some(&key_member) {
                payloads.next += 1;
            } else {
                self.report.problem(format!("`{key_member}` does not follow its payload"));
                continue;
            }
            match self.payload(zip, view, &name)? {
                None => {
                    self.report.payloads_proven += 1;
                    opened.push(name);
                }
                Some(why) => self.report.problem(format!("`{}`: {why}", payload_member(&view.id, &name))),
            }
        }
        Ok(opened)
    }

    fn payload<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        view: &LeafView<'_>,
        name: &str,
    ) -> Result<Option<String>, ZipError> {
        let committed = view.payloads().into_iter().find(|payload| payload.name == name);
        let Some(committed) = committed else { return Ok(Some("the event has no such payload".to_owned())) };
        let text = match zip.read(&payload_member(&view.id, name), PAYLOAD_BYTES_MAX) {
            Ok(text) => text.unwrap_or_default(),
            Err(ZipError::Member { why, .. }) => return Ok(Some(why)),
            Err(error) => return Err(error),
        };
        let key = match zip.read(&commit_key_member(&view.id, name), 65) {
            Ok(key) => key.unwrap_or_default(),
            Err(ZipError::Member { why, .. }) => return Ok(Some(format!("its key: {why}"))),
            Err(error) => return Err(error),
        };
        let (mut commit_key, mut commit) = ([0; 32], [0; 32]);
        let key_read = key.strip_suffix(b"\n").is_some_and(|hex| {
            hex::decode_to_slice(hex, &mut commit_key).is_ok() && !hex.iter().any(u8::is_ascii_uppercase)
        });
        if !key_read {
            return Ok(Some("its key is not 64 lower-case hex digits and a newline".to_owned()));
        }
        let stated = committed.commit.strip_prefix("hmac-sha256:");
        if stated.is_none_or(|hex| hex::decode_to_slice(hex, &mut commit).is_err()) {
            return Ok(Some("the event's commitment cannot be read".to_owned()));
        }
        if committed.bytes != text.len() as u64 || committed.stored == "none" {
            return Ok(Some("the event committed to another length, or to nothing stored".to_owned()));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &commit_key);
        let fits = hmac::verify(&key, &text, &commit).is_ok();
        Ok((!fits).then(|| "it is not what the event committed to".to_owned()))
    }
}

impl Payloads {
    pub(super) fn of<R: Read + Seek>(zip: &ZipReader<R>) -> Self {
        let names = zip.names().filter(|name| Place::of(name) == Some(Place::Payload)).map(str::to_owned).collect();
        Self { names, next: 0 }
    }
}
