//! All detectors' literals, looked for in one pass.
//!
//! A general automaton for a thousand literals in two scripts takes megabytes, and real prose
//! misses the cache on every other byte. Here a few bits per hash of three bytes (four kilobytes a
//! table) dismiss nearly every place, and the rest is compared. Places come out in the order of
//! their starts, which is what a decision that must not depend on the chunking needs.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::fnv::FnvState;

/// Bytes that a place is dismissed by.
const HEAD: usize = 3;

const FILTER_BITS: usize = 1 << 15;

/// Where a literal counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Inside words too.
    Anywhere,
    /// Where no ASCII letter or digit stands before it, if it starts with one.
    WordStart,
    /// Where none stands behind it either, if it consists of them.
    Word,
}

/// One literal in lower case.
struct Literal {
    bytes: Vec<u8>,
    place: Place,
    owners: Owners,
}

/// Literals and who wants to be asked about them.
pub(crate) struct Literals {
    /// In order.
    literals: Vec<Literal>,
    /// Hashes of heads that count at the start of words.
    at_start: Filter,
    /// Hashes of heads that count inside words.
    inside: Filter,
    /// Hashes of heads of which there is nothing more to hash.
    short: Filter,
    /// Hashes of the three bytes from the second on. Half of all Arabic words start alike.
    seconds: Filter,
    by_head: HashMap<[u8; HEAD], Range<u32>, FnvState>,
    /// What each byte can be the first of.
    first: Box<[First; 256]>,
    longest: usize,
}

/// Whether literals start with a byte.
#[derive(Clone, Copy, Default)]
struct First {
    at_start: bool,
    inside: bool,
}

/// Collects literals lane by lane.
#[derive(Default)]
pub(crate) struct Builder(BTreeMap<(Vec<u8>, Place), Owners>);

/// Lanes that want a literal, and the number under which each knows it.
type Owners = Vec<(usize, usize)>;

impl Builder {
    /// Adds the literals of `lane`, which knows each by its number.
    pub(crate) fn add_all(&mut self, literals: &[String], place: Place, lane: usize) {
        literals.iter().enumerate().for_each(|(number, literal)| self.add(literal, place, lane, number));
    }

    fn add(&mut self, literal: &str, place: Place, lane: usize, number: usize) {
        let place = match place {
            Place::Word if literal.bytes().all(|b| b.is_ascii_alphanumeric()) => Place::Word,
            Place::Anywhere => Place::Anywhere,
            _ if literal.starts_with(|c: char| c.is_ascii_alphanumeric()) => Place::WordStart,
            _ => Place::Anywhere,
        };
        self.0.entry((literal.to_ascii_lowercase().into_bytes(), place)).or_default().push((lane, number));
    }

    pub(crate) fn build(self) -> Literals {
        let literals: Vec<Literal> =
            self.0.into_iter().map(|((bytes, place), owners)| Literal { bytes, place, owners }).collect();
        let (mut at_start, mut inside, mut short, mut seconds) =
            (Filter::new(), Filter::new(), Filter::new(), Filter::new());
        let mut by_head: HashMap<[u8; HEAD], Range<u32>, FnvState> = HashMap::default();
        let mut enter = |head: [u8; HEAD], index: u32, place: Place, second: Option<&[u8; HEAD]>| {
            at_start.insert(head);
            match second {
                Some(second) => seconds.insert(*second),
                None => short.insert(head),
            }
            if place == Place::Anywhere {
                inside.insert(head);
            }
            let range = by_head.entry(head).or_insert(index..index);
            range.start = range.start.min(index);
            range.end = range.end.max(index + 1);
        };
        let mut first = Box::new([First::default(); 256]);
        for (index, Literal { bytes, place, .. }) in (0_u32..).zip(&literals) {
            first[usize::from(bytes[0])].at_start = true;
            first[usize::from(bytes[0])].inside |= *place == Place::Anywhere;
            if let Some(head) = bytes.first_chunk::<HEAD>() {
                enter(*head, index, *place, bytes[1..].first_chunk::<HEAD>());
                continue;
            }
            // A literal that is shorter than a head is compared under every head that it starts.
            for other in 0..=u8::MAX {
                enter([bytes[0], *bytes.get(1).unwrap_or(&other), other], index, *place, None);
            }
        }
        let longest = literals.iter().map(|literal| literal.bytes.len()).max().unwrap_or(0);
        Literals { literals, at_start, inside, short, seconds, by_head, first, longest }
    }
}

/// One bit per hash of a head.
struct Filter(Box<[u64; FILTER_BITS / 64]>);

impl Filter {
    fn new() -> Self {
        Self(Box::new([0; FILTER_BITS / 64]))
    }

    fn insert(&mut self, head: [u8; HEAD]) {
        let bit = head.into_iter().fold(0, Self::roll);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn has(&self, hash: usize) -> bool {
        self.0[hash / 64] >> (hash % 64) & 1 != 0
    }

    /// The hash of the last three bytes, from that of the three before: what is older is shifted
    /// out. Of letters it keeps all five bits that tell them apart.
    fn roll(hash: usize, byte: u8) -> usize {
        (hash << 5 ^ usize::from(byte.to_ascii_lowercase())) % FILTER_BITS
    }
}

impl Literals {
    /// Finds the literals that start at `from` or later in `bytes` and reports each as `(place,
    /// lane, number)`, in order. Returns the first place that cannot be decided before more text
    /// arrives: the end, or where a literal has begun.
    pub(crate) fn find(
        &self,
        bytes: &[u8],
        from: usize,
        last: bool,
        found: &mut dyn FnMut(usize, usize, usize),
    ) -> usize {
        // Up to here every literal that starts would also end, and show what stands behind it. Where nothing follows,
        // only those are left out that have less than a head and one byte.
        let open = if last { HEAD } else { self.longest.max(HEAD) };
        let sure = bytes.len().saturating_sub(open).max(from);
        let mut second = 0;
        for byte in bytes.get(from..from + HEAD).unwrap_or_default() {
            second = Filter::roll(second, *byte);
        }
        let fourths = bytes.get(from + HEAD..).unwrap_or_default();
        for (at, fourth) in (from..sure).zip(fourths) {
            let first = second;
            second = Filter::roll(first, *fourth);
            let hit = self.at_start.has(first) && (self.seconds.has(second) || self.short.has(first));
            if hit && (!inside_word(bytes, at) || self.inside.has(first)) {
                self.compare(bytes, at, found);
            }
        }
        for at in sure..bytes.len() {
            if !self.may_start(bytes, at) {
                continue;
            }
            if !last && self.begins(bytes, at) {
                return at;
            }
            self.compare(bytes, at, found);
        }
        bytes.len()
    }

    /// What one table tells of a place near the end, where there are no three bytes to hash.
    fn may_start(&self, bytes: &[u8], at: usize) -> bool {
        let first = &self.first[usize::from(bytes[at].to_ascii_lowercase())];
        if inside_word(bytes, at) { first.inside } else { first.at_start }
    }

    fn compare(&self, bytes: &[u8], at: usize, found: &mut dyn FnMut(usize, usize, usize)) {
        let byte = |index: usize| bytes.get(at + index).map_or(0, u8::to_ascii_lowercase);
        let Some(range) = self.by_head.get(&[byte(0), byte(1), byte(2)]) else { return };
        let fourth = byte(HEAD);
        let inside = inside_word(bytes, at);
        for literal in &self.literals[range.start as usize..range.end as usize] {
            if literal.bytes.get(HEAD).is_some_and(|own| *own != fourth) {
                continue;
            }
            let end = at + literal.bytes.len();
            let here = bytes.get(at..end).is_some_and(|text| text.eq_ignore_ascii_case(&literal.bytes));
            let goes_on = literal.place == Place::Word && bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
            if here && !goes_on && (!inside || literal.place == Place::Anywhere) {
                for (lane, number) in &literal.owners {
                    found(at, *lane, *number);
                }
            }
        }
    }

    /// Whether the rest of `bytes` from `at` on is the beginning of a literal.
    fn begins(&self, bytes: &[u8], at: usize) -> bool {
        let rest = &bytes[at..];
        let inside = inside_word(bytes, at);
        let lower = rest.to_ascii_lowercase();
        let first = self.literals.partition_point(|literal| literal.bytes < lower);
        self.literals[first..].iter().take_while(|literal| literal.bytes.starts_with(&lower)).any(|literal| {
            // A whole word ends where the byte behind it says so.
            let needed = literal.bytes.len() + usize::from(literal.place == Place::Word);
            needed > rest.len() && (!inside || literal.place == Place::Anywhere)
        })
    }
}

/// Whether an ASCII letter or digit stands just before.
fn inside_word(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, last: bool) -> (Vec<(usize, usize)>, usize) {
        let literals = [
            ("key", Place::WordStart),
            ("keyboard", Place::WordStart),
            ("as", Place::Word),
            ("://", Place::Word),
            ("qaqa", Place::Anywhere),
            ("مفتاح", Place::WordStart),
        ];
        let mut builder = Builder::default();
        for (number, (literal, place)) in literals.into_iter().enumerate() {
            builder.add(literal, place, 0, number);
        }
        let mut found = Vec::new();
        let next = builder.build().find(text.as_bytes(), 0, last, &mut |at, _, number| found.push((at, number)));
        (found, next)
    }

    #[test]
    fn places_come_in_order_and_words_count_from_their_start() {
        let (found, next) = find("As KEYBOARD monkey http://QNBAQAQA مفتاح key ask", true);
        assert_eq!(found, [(0, 2), (3, 0), (3, 1), (23, 3), (30, 4), (35, 5), (46, 0)]);
        assert_eq!(next, 53);
    }

    #[test]
    fn what_has_begun_is_left_open() {
        assert_eq!(find("a keyb", false), (vec![], 2));
        assert_eq!(find("a keyb", true), (vec![(2, 0)], 6));
        assert_eq!(find("a monk", false).1, 6);
        assert_eq!(find("a", false).1, 0);
        assert_eq!(find("as", false), (vec![], 0));
        assert_eq!(find("ask ", false), (vec![], 4));
        assert_eq!(find("as ", false), (vec![(0, 2)], 3));
    }
}
