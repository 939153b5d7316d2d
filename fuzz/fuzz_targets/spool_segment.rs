//! A spool's segment file after anything may have happened to it: what is salvaged lies inside the
//! file, in order, and apart from what is called damaged.
//!
//! The input is what follows the header, which is always the same. A frame whose checksum field is
//! zero gets the right checksum: otherwise no change behind a checksum would ever be tried.
#![no_main]

use libfuzzer_sys::fuzz_target;

const HEADER_BYTES: usize = 4096;
const FRAME_HEADER: usize = 24;
const LINEAGE: &[u8] = b"fuzz";
const SEGMENT: u64 = 1;

fuzz_target!(|input: &[u8]| {
    check(input);
    let mut file = header(input.len());
    file.extend_from_slice(input);
    sign_frames(&mut file);
    check(&file);
});

fn check(file: &[u8]) {
    let Some(salvage) = haris_spool::salvage(file) else { return };
    let length = file.len() as u64;
    assert!(salvage.records.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(salvage.records.iter().all(|(position, _)| position.offset < length));
    for range in salvage.damage.iter().chain(&salvage.torn) {
        assert!(range.start <= range.end && range.end <= length);
        assert!(salvage.records.iter().all(|(position, _)| !range.contains(&position.offset)));
    }
}

/// The first page of a segment file, as crates/record/spool/src/frame.rs describes it.
fn header(frames_bytes: usize) -> Vec<u8> {
    let mut out = vec![0; HEADER_BYTES];
    out[..8].copy_from_slice(b"HARISPOL");
    out[8..12].copy_from_slice(&1_u32.to_le_bytes());
    out[16..24].copy_from_slice(&SEGMENT.to_le_bytes());
    out[24..32].copy_from_slice(&((HEADER_BYTES + frames_bytes) as u64).to_le_bytes());
    out[32] = LINEAGE.len() as u8;
    out[33..33 + LINEAGE.len()].copy_from_slice(LINEAGE);
    let checksum = crc32c::crc32c(&out[16..]);
    out[12..16].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn sign_frames(file: &mut [u8]) {
    let seed = crc32c::crc32c_append(crc32c::crc32c(LINEAGE), &SEGMENT.to_le_bytes());
    for offset in (HEADER_BYTES..file.len()).step_by(8) {
        let Some(frame) = file[offset..].get(..FRAME_HEADER) else { return };
        if !frame.starts_with(b"HSF1\0\0\0\0") {
            continue;
        }
        let body_bytes = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]) as usize;
        let end = offset.saturating_add((FRAME_HEADER + body_bytes).next_multiple_of(8));
        let Some(checked) = file.get(offset + 8..end) else { continue };
        let placed = crc32c::crc32c_append(seed, &(offset as u64).to_le_bytes());
        let checksum = crc32c::crc32c_append(placed, checked);
        file[offset + 4..offset + 8].copy_from_slice(&checksum.to_le_bytes());
    }
}
