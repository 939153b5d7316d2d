//! The reader of server-sent events: the same events for every cutting of the stream.
//!
//! The first byte says how to cut; the rest is the stream.
#![no_main]

use haris_gateway::sse::{BadSse, Item, SseReader};
use libfuzzer_sys::fuzz_target;

const EVENT_BYTES_MAX: usize = 512;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<BadSse>, bool) {
    let mut reader = SseReader::new(EVENT_BYTES_MAX);
    let mut events = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(Item::Data(data))) => {
                    assert!(data.len() <= EVENT_BYTES_MAX);
                    events.push(data.to_vec());
                }
                Ok(Some(Item::Comment)) => {}
                Ok(None) => break,
                Err(error) => return (events, Some(error), false),
            }
        }
    }
    let mid_event = reader.is_mid_event();
    (events, None, mid_event)
}

fuzz_target!(|input: &[u8]| {
    let Some((cut, stream)) = input.split_first() else { return };
    let whole = read(std::iter::once(stream));
    assert_eq!(read(stream.chunks(usize::from(*cut) % 16 + 1)), whole);
});
