//! What witnesses know of the logs today, held against the checkpoints at hand.
//!
//! A bundle shows what its checkpoint covers. Whether the operator still stands by that checkpoint, only somebody
//! outside can say: the witness's newest must continue it.

use std::cell::RefCell;
use std::io::{Read, Seek};

use haris_merkle::{Checkpoint, Hash, Note, ReadTiles, Submission, Tile, tree, verify_consistency};

use super::{OpenLog, Run};
use crate::report::{NewestSeen, WitnessTime, plain};
use crate::tiles::Tiles;
use crate::zip::{ZipError, ZipReader};

/// What lies outside the file at hand. `()` is nothing.
pub trait Outside {
    /// What each witness that was named shows of the log of that origin, asked for a proof from `size` entries on.
    fn newest(&self, origin: &str, size: u64) -> Vec<Shown>;

    /// A tile of that log (`evidence` or `traffic`), from wherever it can be had. It is checked, never trusted.
    fn tile(&self, log: &str, tile: Tile) -> Option<Vec<u8>>;
}

/// What one witness shows.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Where it was asked: a URL or a file.
    pub from: String,
    /// A checkpoint's note, or a submission: that with a proof before it. None where it knows no such log.
    pub answer: Result<Option<Vec<u8>>, String>,
}

impl Outside for () {
    fn newest(&self, _: &str, _: u64) -> Vec<Shown> {
        Vec::new()
    }

    fn tile(&self, _: &str, _: Tile) -> Option<Vec<u8>> {
        None
    }
}

impl Run<'_> {
    pub(super) fn newest<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        logs: &mut [OpenLog],
    ) -> Result<(), ZipError> {
        for log in logs {
            for shown in self.outside.newest(&log.checkpoint.origin, log.checkpoint.size) {
                let (name, from) = (log.name(), plain(&shown.from));
                match shown.answer {
                    Err(why) => self.report.problem(format!("witness `{from}` and the {name} log: {why}")),
                    Ok(None) if log.anchored_at.is_some() => self.report.notice(format!(
                        "witness `{from}` does not watch the {name} log; the evidence log, which names its checkpoint, stands for it"
                    )),
                    Ok(None) => self.report.problem(format!("witness `{from}` knows nothing of the {name} log")),
                    Ok(Some(bytes)) => {
                        if let Err(why) = self.one(zip, log, &from, &bytes)? {
                            self.report.problem(format!("witness `{from}` and the {name} log: {why}"));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn one<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        log: &mut OpenLog,
        from: &str,
        bytes: &[u8],
    ) -> Result<Result<(), String>, ZipError> {
        let (newest, note, path) = match read(bytes, log.checkpoint.size) {
            Ok(read) => read,
            Err(why) => return Ok(Err(why)),
        };
        if newest.origin != log.checkpoint.origin {
            return Ok(Err(format!("it shows a checkpoint of `{}`", plain(&newest.origin))));
        }
        let vouched = self.trust.vouch(&newest, &note);
        if vouched.witnesses.is_empty() {
            return Ok(Err(
                "no key of a witness that you gave has signed what it shows; pass its key with --key or --policy"
                    .to_owned(),
            ));
        }
        if let Some(why) = vouched.problems.first() {
            return Ok(Err(why.clone()));
        }
        let outcome = self.prefix(zip, log, &newest, path.as_deref())?;
        let prefix = outcome.is_ok();
        log.newest.push(NewestSeen {
            from: from.to_owned(),
            size: newest.size,
            witnesses: WitnessTime::list(&vouched.witnesses),
            prefix,
        });
        if prefix {
            // Whoever signed what continues this checkpoint has bound the operator to it as well.
            for (key, at) in vouched.cosigners {
                if !log.vouched.cosigners.iter().any(|(known, _)| *known == key) {
                    log.vouched.cosigners.push((key, at));
                }
            }
            self.trust.count(&mut log.vouched);
        }
        Ok(outcome)
    }

    fn prefix<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        log: &mut OpenLog,
        newest: &Checkpoint,
        path: Option<&[Hash]>,
    ) -> Result<Result<(), String>, ZipError> {
        let ours = &log.checkpoint;
        let fork = || {
            let size = newest.size.min(ours.size);
            Err(format!("FORK: it has cosigned another history, which differs within the first {size} entries"))
        };
        if newest.size == ours.size {
            return Ok(if newest.root == ours.root { Ok(()) } else { fork() });
        }
        if newest.size > ours.size
            && path
                .is_some_and(|path| verify_consistency(ours.size, &ours.root, newest.size, &newest.root, path).is_ok())
        {
            return Ok(Ok(()));
        }
        // Tiles of the larger tree give both roots: those of the bundle for its own, those from outside for the other.
        let (larger, smaller) = if newest.size > ours.size { (newest, ours) } else { (ours, newest) };
        let inside = newest.size < ours.size;
        let shelf = Shelf { log: log.at, inside, run: self, zip: RefCell::new((zip, &mut log.tiles)) };
        // A root that a proof ties to the larger tree's is that tree's, wherever the tiles came from.
        let shown = tree::root_at(&shelf, smaller.size, larger.size)
            .and_then(|at| Ok((at, tree::consistency(&shelf, smaller.size, larger.size)?)));
        let behind = format!("it knows {} entries only: what came after them has no witness", newest.size);
        Ok(match shown {
            Ok((at, path)) if verify_consistency(smaller.size, &at, larger.size, &larger.root, &path).is_err() => {
                Err("the tiles given do not give the root that it cosigned".to_owned())
            }
            Ok((at, _)) if at != smaller.root => fork(),
            Ok(_) if inside => Err(behind),
            Ok(_) => Ok(()),
            Err(tree::TreeError::Read(error)) => return Err(error),
            Err(_) if inside => Err(behind),
            Err(_) => Err(format!(
                "it knows {} entries, and nothing here shows that they continue the {} at hand; give the log's tiles with --tiles, \
                 or export anew",
                newest.size, ours.size
            )),
        })
    }
}

fn read(bytes: &[u8], size: u64) -> Result<(Checkpoint, Note, Option<Vec<Hash>>), String> {
    if bytes.starts_with(b"old ") {
        let read = Submission::parse(bytes).map_err(|error| error.to_string())?;
        let path = (read.old == size).then_some(read.path);
        return Ok((read.checkpoint, read.note, path));
    }
    let (checkpoint, note) = Checkpoint::parse(bytes).map_err(|error| error.to_string())?;
    Ok((checkpoint, note, None))
}

/// Tiles of one tree: the bundle's, which are believed, or those from outside.
struct Shelf<'a, 'r, R> {
    log: usize,
    inside: bool,
    run: &'a Run<'r>,
    zip: RefCell<(&'a mut ZipReader<R>, &'a mut Tiles)>,
}

impl<R: Read + Seek> ReadTiles for Shelf<'_, '_, R> {
    type Error = ZipError;

    fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, ZipError> {
        let log = crate::bundle::LOGS[self.log];
        if !self.inside {
            return Ok(self.run.outside.tile(log, tile));
        }
        let (zip, tiles) = &mut *self.zip.borrow_mut();
        Ok(match tiles.tile(zip, tile)? {
            Ok(hashes) => Some(hashes.concat()),
            Err(_) => self.run.outside.tile(log, tile),
        })
    }
}
