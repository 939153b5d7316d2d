//! `haris.bundle/1`: what an evidence bundle holds, in what order, and how it is written.
//!
//! `docs/bundle.md` describes the form for someone who has nothing but that page.

use std::io::{Seek, Write};

use haris_merkle::Tile;
use haris_merkle::tile::ENTRY_BYTES_MAX;
use serde::{Deserialize, Serialize};

use crate::zip::{NAME_BYTES_MAX, ZipError, ZipWriter};

/// The manifest's `schema`.
pub const SCHEMA: &str = "haris.bundle/1";
/// The logs that a bundle may hold, in their order.
pub const LOGS: [&str; 2] = ["evidence", "traffic"];
/// Name of the text for a person.
pub const README: &str = "README.txt";
/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// The longest manifest.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;
/// The longest opened payload. Payloads are cut to 1 MiB before they are sealed; the rest is room for settings.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Index and length before each leaf.
pub(crate) const RECORD_HEADER_BYTES: usize = 10;

/// The text for a person. Part of the frozen form: the verifier compares it, so that nobody can slip other
/// instructions into a bundle.
pub const README_TEXT: &str = include_str!("README.bundle.txt");

/// What the bundle says of itself. None of it is believed: the verifier holds each word against the leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it was made, by the exporter's clock.
    pub made_at: String,
    /// What made it: `haris 0.1.0`.
    pub made_by: String,
    /// The times asked for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// `key=value` conditions, all of which hold for a selection's events.
    pub filter: Vec<String>,
    /// The logs, in the order of [`LOGS`].
    pub logs: Vec<LogPart>,
    /// Opened payloads in the bundle.
    pub payloads: u64,
}

/// A span of event times, `[from, to)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The moment after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What a bundle holds of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPart {
    /// `evidence` or `traffic`.
    pub log: String,
    /// The log's origin, as its checkpoint has it.
    pub origin: String,
    /// Entries that the checkpoint covers.
    pub size: u64,
    /// `sha256:` and the checkpoint's root.
    pub root: String,
    /// `range` or `selection`.
    pub scope: Scope,
    /// First leaf of the range that was looked at.
    pub from: u64,
    /// The leaf after its last.
    pub to: u64,
    /// Leaves in the bundle.
    pub leaves: u64,
    /// Keys that the operator says are the log's: for comparing with those one has, never for trusting.
    pub keys: Vec<String>,
}

/// What the leaves of a bundle are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every leaf of `[from, to)`.
    Range,
    /// Those leaves of `[from, to)` that the filter and window chose.
    Selection,
}

/// A member's place in the fixed order; names that belong to no bundle have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Readme,
    Manifest,
    Checkpoint {
        log: usize,
    },
    Tile {
        log: usize,
        tile: Tile,
    },
    Anchor {
        log: usize,
    },
    Leaves {
        log: usize,
    },
    /// Payloads follow their events' order, which the names alone do not show.
    Payload,
}

impl Place {
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            README => return Some(Self::Readme),
            MANIFEST => return Some(Self::Manifest),
            _ => {}
        }
        let (first, rest) = name.split_once('/')?;
        if first == "payloads" {
            let (event, payload) = rest.split_once('/')?;
            return (!event.is_empty() && !payload.contains('/')).then_some(Self::Payload);
        }
        let log = LOGS.iter().position(|log| *log == first)?;
        match rest {
            "checkpoint" => Some(Self::Checkpoint { log }),
            "anchor" => Some(Self::Anchor { log }),
            "leaves" => Some(Self::Leaves { log }),
            path => Tile::parse(path).map(|tile| Self::Tile { log, tile }),
        }
    }

    /// Whether `next` may follow this member.
    pub(crate) fn precedes(self, next: Self) -> bool {
        // Within a log the checkpoint stands before its tiles, these before anchor and leaves; the logs follow one
        // another.
        let key = |place: Self| match place {
            Self::Readme => (0, 0, 0, None),
            Self::Manifest => (1, 0, 0, None),
            Self::Checkpoint { log } => (2, log, 0, None),
            Self::Tile { log, tile } => (2, log, 1, Some(tile)),
            Self::Anchor { log } => (2, log, 2, None),
            Self::Leaves { log } => (2, log, 3, None),
            Self::Payload => (3, 0, 0, None),
        };
        key(self) < key(next) || (self == Self::Payload && next == Self::Payload)
    }
}

/// The member that holds an opened payload.
#[must_use]
pub fn payload_member(event: &str, name: &str) -> String {
    format!("payloads/{event}/{name}")
}

/// The member that holds a payload's commit key: 64 hex digits and a newline, ready for `openssl dgst -macopt`.
#[must_use]
pub fn commit_key_member(event: &str, name: &str) -> String {
    format!("payloads/{event}/{name}.key")
}

/// Writes a bundle. Members come in the order of the form: per log (evidence, then traffic) checkpoint, tiles by level
/// and index, anchor, leaves by index; then the payloads in the order of their events. The same calls give the same
/// bytes.
pub struct BundleWriter<W: Write + Seek> {
    zip: ZipWriter<W>,
    last: Place,
    /// The log whose leaves are being written.
    leaves: Option<usize>,
}

impl<W: Write + Seek> BundleWriter<W> {
    /// Starts a bundle. `out` must be empty.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(out: W, manifest: &Manifest) -> Result<Self, ZipError> {
        let mut zip = ZipWriter::new(out);
        zip.member(README, README_TEXT.as_bytes())?;
        let mut json = serde_json::to_vec_pretty(manifest).map_err(std::io::Error::from)?;
        json.push(b'\n');
        zip.member(MANIFEST, &json)?;
        Ok(Self { zip, last: Place::Manifest, leaves: None })
    }

    /// A log's checkpoint: the signed note, cosignatures included.
    ///
    /// # Errors
    /// When it is not its turn, or writing fails.
    pub fn checkpoint(&mut self, log: &str, note: &[u8]) -> Result<(), ZipError> {
        self.member(&format!("{log}/checkpoint"), note)
    }

    /// A hash tile.
    ///
    /// # Errors
    /// When it is not its turn, or writing fails.
    pub fn tile(&mut self, log: &str, tile: Tile, bytes: &[u8]) -> Result<(), ZipError> {
        self.member(&format!("{log}/{tile}"), bytes)
    }

    /// The evidence log's entry that names the traffic log's checkpoint.
    ///
    /// # Errors
    /// When it is not its turn, or writing fails.
    pub fn anchor(&mut self, log: &str, index: u64, leaf: &[u8]) -> Result<(), ZipError> {
        let record = [&header(index, leaf)?, leaf].concat();
        self.member(&format!("{log}/anchor"), &record)
    }

    /// Starts a log's leaves; due even where there are none.
    ///
    /// # Errors
    /// When it is not its turn, or writing fails.
    pub fn leaves(&mut self, log: &str) -> Result<(), ZipError> {
        let name = format!("{log}/leaves");
        self.turn(&name)?;
        self.leaves = LOGS.iter().position(|known| *known == log);
        self.zip.start(&name)
    }

    /// The next leaf of the log that [`BundleWriter::leaves`] named.
    ///
    /// # Errors
    /// When no leaves were started, the leaf is too long, or writing fails.
    pub fn leaf(&mut self, index: u64, leaf: &[u8]) -> Result<(), ZipError> {
        if self.leaves.is_none() {
            return Err(ZipError::Member { name: "leaves".to_owned(), why: "no leaves were started".to_owned() });
        }
        self.zip.write(&header(index, leaf)?)?;
        self.zip.write(leaf)
    }

    /// An opened payload: the text and what shows that the leaf committed to it.
    ///
    /// # Errors
    /// When it is not its turn, the name cannot be a member's, or writing fails.
    pub fn payload(&mut self, event: &str, name: &str, text: &[u8], commit_key: &[u8; 32]) -> Result<(), ZipError> {
        let member = commit_key_member(event, name);
        if member.len() > NAME_BYTES_MAX || text.len() > PAYLOAD_BYTES_MAX {
            return Err(ZipError::TooMuch { why: format!("payload `{name}` of event {event} does not fit a bundle") });
        }
        self.member(&payload_member(event, name), text)?;
        self.member(&member, format!("{}\n", hex::encode(commit_key)).as_bytes())
    }

    /// Writes the directory and gives the output back. Without this call there is no bundle.
    ///
    /// # Errors
    /// When writing fails, or the bundle has grown beyond its bounds.
    pub fn finish(self) -> Result<W, ZipError> {
        self.zip.finish()
    }

    fn member(&mut self, name: &str, bytes: &[u8]) -> Result<(), ZipError> {
        self.turn(name)?;
        self.leaves = None;
        self.zip.member(name, bytes)
    }

    fn turn(&mut self, name: &str) -> Result<(), ZipError> {
        let place = Place::of(name).filter(|place| self.last.precedes(*place));
        let why = || format!("it does not belong after {:?}", self.last);
        self.last = place.ok_or_else(|| ZipError::Member { name: name.to_owned(), why: why() })?;
        Ok(())
    }
}

fn header(index: u64, leaf: &[u8]) -> Result<[u8; RECORD_HEADER_BYTES], ZipError> {
    let too_long = || ZipError::TooMuch { why: format!("a leaf of more than {ENTRY_BYTES_MAX} bytes") };
    let length = u16::try_from(leaf.len()).map_err(|_| too_long())?;
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..8].copy_from_slice(&index.to_be_bytes());
    header[8..].copy_from_slice(&length.to_be_bytes());
    Ok(header)
}
