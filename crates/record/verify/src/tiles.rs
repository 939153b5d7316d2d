//! Tiles that are believed: each is checked against the one above it, up to the root that the checkpoint signs.

use std::collections::HashSet;
use std::io::{Read, Seek};
use std::rc::Rc;

use haris_merkle::tile::{HASH_BYTES, TILE_WIDTH, Tile, complete_root, right_edge};
use haris_merkle::{Checkpoint, Hash, Peaks};

use crate::zip::{ZipError, ZipReader};

/// Hashes of a believed tile, or why it is not believed.
pub(crate) type Believed = Result<Rc<[Hash]>, Rc<str>>;

/// One log's tiles in a bundle. Holds the right edge, one tile a level and the names of those it has checked.
pub(crate) struct Tiles {
    log: &'static str,
    size: u64,
    edge: Vec<(Tile, Believed)>,
    recent: [Option<(Tile, Believed)>; 8],
    seen: HashSet<Tile>,
}

impl Tiles {
    /// Reads the right edge and checks that it gives the checkpoint's root. If it does not, no tile is believed.
    pub(crate) fn open<R: Read + Seek>(
        zip: &mut ZipReader<R>,
        log: &'static str,
        checkpoint: &Checkpoint,
    ) -> Result<Self, ZipError> {
        let mut tiles =
            Self { log, size: checkpoint.size, edge: Vec::new(), recent: [const { None }; 8], seen: HashSet::new() };
        let mut peaks = Peaks::new();
        let mut problem: Option<Rc<str>> = None;
        for tile in right_edge(checkpoint.size).into_iter().rev() {
            match tiles.load(zip, tile)? {
                Ok(hashes) => {
                    for hash in hashes.iter() {
                        peaks.push_subtree(u32::from(tile.level) * 8, *hash);
                    }
                    tiles.edge.push((tile, Ok(hashes)));
                }
                Err(why) => {
                    problem = Some(why);
                    break;
                }
            }
        }
        if problem.is_none() && peaks.root() != checkpoint.root {
            problem = Some(format!("the right-most tiles of `{log}` do not give the checkpoint's root").into());
        }
        if let Some(why) = problem {
            tiles.edge = right_edge(checkpoint.size).into_iter().map(|tile| (tile, Err(Rc::clone(&why)))).collect();
        }
        Ok(tiles)
    }

    /// Why the right edge is not believed, if it is not.
    pub(crate) fn problem(&self) -> Option<Rc<str>> {
        self.edge.iter().find_map(|(_, believed)| believed.as_ref().err().cloned())
    }

    /// The hash of entry `index` as the checkpoint has it, or why it is not known.
    pub(crate) fn leaf<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        index: u64,
    ) -> Result<Result<Hash, Rc<str>>, ZipError> {
        let Some(tile) = Tile::covering(0, index, self.size) else {
            return Ok(Err(format!("the checkpoint of `{}` covers {} entries only", self.log, self.size).into()));
        };
        let offset = usize::try_from(index % u64::from(TILE_WIDTH)).expect("below 256");
        Ok(self.tile(zip, tile)?.map(|hashes| hashes[offset]))
    }

    /// A tile, checked up to the root.
    pub(crate) fn tile<R: Read + Seek>(&mut self, zip: &mut ZipReader<R>, tile: Tile) -> Result<Believed, ZipError> {
        // From the tile upwards to what is already known, then back down: no recursion, at most eight steps.
        let mut chain = Vec::new();
        let mut at = tile;
        let mut believed = loop {
            if let Some((_, known)) = self.edge.iter().find(|(edge, _)| *edge == at) {
                break known.clone();
            }
            if let Some((_, known)) = self.slot(at.level).filter(|(recent, _)| *recent == at) {
                break known.clone();
            }
            chain.push(at);
            match Tile::covering(at.level.saturating_add(1), at.index, self.size) {
                Some(above) if at.is_full() => at = above,
                _ => break Err(format!("`{}/{at}` is no tile of this checkpoint", self.log).into()),
            }
        };
        while let Some(at) = chain.pop() {
            believed = match believed {
                Ok(above) => self.below(zip, at, &above)?,
                Err(why) => Err(why),
            };
            if let Some(slot) = self.recent.get_mut(usize::from(at.level)) {
                *slot = Some((at, believed.clone()));
            }
        }
        Ok(believed)
    }

    /// The tiles that were checked until now.
    pub(crate) fn take_seen(&mut self) -> HashSet<Tile> {
        std::mem::take(&mut self.seen)
    }

    fn slot(&self, level: u8) -> Option<&(Tile, Believed)> {
        self.recent.get(usize::from(level))?.as_ref()
    }

    /// Reads the full tile `at` and compares its hash with the one that the tile `above` has for it.
    fn below<R: Read + Seek>(
        &mut self,
        zip: &mut ZipReader<R>,
        at: Tile,
        above: &[Hash],
    ) -> Result<Believed, ZipError> {
        let offset = usize::try_from(at.index % u64::from(TILE_WIDTH)).expect("below 256");
        let hashes = match self.load(zip, at)? {
            Ok(hashes) => hashes,
            Err(why) => return Ok(Err(why)),
        };
        let fits = above.get(offset).is_some_and(|hash| *hash == complete_root(&hashes));
        Ok(if fits { Ok(hashes) } else { Err(format!("`{}/{at}` does not fit the tile above it", self.log).into()) })
    }

    fn load<R: Read + Seek>(&mut self, zip: &mut ZipReader<R>, tile: Tile) -> Result<Believed, ZipError> {
        self.seen.insert(tile);
        let name = format!("{}/{tile}", self.log);
        Ok(match zip.read(&name, usize::from(TILE_WIDTH) * HASH_BYTES) {
            Ok(Some(bytes)) => {
                tile.decode(&bytes).map(Into::into).map_err(|error| format!("`{}`: {error}", self.log).into())
            }
            Ok(None) => Err(format!("`{name}` is missing").into()),
            Err(error @ ZipError::Member { .. }) => Err(error.to_string().into()),
            Err(other) => return Err(other),
        })
    }
}
