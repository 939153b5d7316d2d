//! How fast artifacts are scanned, beside SHA-256 of the same bytes by the same library, and in how much memory.
//!
//! `cargo bench -p haris-scan`. The files are made here, some five gigabytes in the system's temporary folder, and
//! read once before, so that the figures are of cached files. Each is the best of three runs.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use haris_artifact::{Limits, Scanner};
use haris_scan::{Options, Waivers, scan};

const RUNS: usize = 3;
const MIB: usize = 1 << 20;

#[expect(clippy::print_stdout, reason = "the figures are what a bench is for")]
fn main() -> io::Result<()> {
    // Cargo's own flag, and that of a test run which only wants to see that it works.
    let scale = if std::env::args().any(|argument| argument == "--bench") { 1 } else { 64 };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file");
    println!("{:<34} {:>9} {:>12} {:>12} {:>12} {:>9}", "file", "MB", "structure", "and digest", "SHA-256", "peak MiB");
    for (name, make) in FILES {
        let mut file = BufWriter::with_capacity(MIB, File::create(&path)?);
        make(&mut file, scale)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
        let bare = best(|| hash(&path));
        let structure = best(|| look(&path, false));
        let digest = best(|| look(&path, true));
        println!(
            "{name:<34} {megabytes:>9.0} {:>7.3} s {:>7.3} s {:>7.3} s {:>9.0}   {:>6.0} MB/s, {:.2} of SHA-256",
            structure,
            digest,
            bare,
            peak_mib(),
            megabytes / structure,
            bare / digest,
        );
    }
    Ok(())
}

type Make = fn(&mut BufWriter<File>, usize) -> io::Result<()>;

/// Dense opcodes first: memory's peak only grows.
const FILES: &[(&str, Make)] = &[
    ("pickle, dense opcodes", dense),
    ("pickle, large arrays", arrays),
    ("safetensors", safetensors),
    ("torch zip", torch_zip),
];

/// Seconds of the fastest run.
fn best(mut run: impl FnMut()) -> f64 {
    (0..RUNS).fold(f64::INFINITY, |fastest, _| {
        let started = Instant::now();
        run();
        fastest.min(started.elapsed().as_secs_f64())
    })
}

fn look(path: &Path, digest: bool) {
    let options = Options { digest, ..Options::default() };
    let scanner = Scanner::new(Limits::default());
    scan(path, &scanner, &options, &Waivers::default(), &mut |artifact| {
        assert!(
            artifact.findings.iter().all(|(finding, _)| finding.face.verdict == haris_artifact::Verdict::Clean),
            "{artifact:?}"
        );
    })
    .expect("the file was made above");
}

fn hash(path: &Path) {
    let mut file = File::open(path).expect("the file was made above");
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; MIB];
    loop {
        let count = file.read(&mut chunk).expect("it is cached");
        if count == 0 {
            break;
        }
        context.update(&chunk[..count]);
    }
    std::hint::black_box(context.finish());
}

/// The most that this process has held so far.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

/// Noise that is the same each time: weights are nothing else to a reader.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..MIB / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Exponents of ordinary weights.
        (state & 0x3fff_ffff_3fff_ffff).to_le_bytes()
    });
    words.collect()
}

/// 50 MB of dictionaries in lists, memoized texts and numbers: hardly a byte is content.
fn dense(file: &mut BufWriter<File>, scale: usize) -> io::Result<()> {
    file.write_all(b"\x80\x04]\x94")?;
    let mut written = 0;
    let mut index = 0_u32;
    while written < 50 * MIB / scale {
        file.write_all(b"(")?;
        for _ in 0..100 {
            let text = format!("{index:06}");
            let one = [
                b"}(\x8c\x06",
                text.as_bytes(),
                b"\x94K\x01\x8c\x01b\x94G?\xf0\0\0\0\0\0\0\x8c\x01c(K\x01K\x02K\x03t\x94u",
            ]
            .concat();
            file.write_all(&one)?;
            written += one.len();
            index += 1;
        }
        file.write_all(b"e")?;
    }
    file.write_all(b".")
}

/// 1 GB in arrays of 16 MiB, as pickles of protocol 5 hold them.
fn arrays(file: &mut BufWriter<File>, scale: usize) -> io::Result<()> {
    let noise = noise();
    file.write_all(b"\x80\x05](")?;
    for _ in 0..(1024 / 16 / scale).max(1) {
        file.write_all(b"\x8e")?;
        file.write_all(&(16 * MIB as u64).to_le_bytes())?;
        for _ in 0..16 {
            file.write_all(&noise)?;
        }
    }
    file.write_all(b"e.")
}

fn safetensors(file: &mut BufWriter<File>, scale: usize) -> io::Result<()> {
    let (count, noise) = (2048 / 8 / scale.min(64), noise());
    let entries: Vec<String> = (0..count)
        .map(|index| {
            let (from, to) = (index * 8 * MIB, (index + 1) * 8 * MIB);
            format!(r#""layer.{index}.weight":{{"dtype":"F32","shape":[1024,2048],"data_offsets":[{from},{to}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for _ in 0..count * 8 {
        file.write_all(&noise)?;
    }
    Ok(())
}

/// What `torch.save` writes of a state: the pickle, and a stored member for each tensor.
fn torch_zip(file: &mut BufWriter<File>, scale: usize) -> io::Result<()> {
    let (count, noise) = (2048 / 8 / scale.min(64), noise());
    let mut pickle = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for index in 0..count {
        let text = |value: &str| [&b"X"[..], &(value.len() as u32).to_le_bytes(), value.as_bytes()].concat();
        pickle.extend(text(&format!("layer.{index}.weight")));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(
            [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(&index.to_string()), text("cpu")].concat(),
        );
        pickle.extend(
            b"J\x00\x00\x20\x00tQK\x00M\x00\x04M\x00\x08\x86M\x00\x08K\x01\x86\x89ccollections\nOrderedDict\n)RtR",
        );
    }
    pickle.extend(b"u.");
    let mut body = crc32fast::Hasher::new();
    (0..8).for_each(|_| body.update(&noise));
    let body = body.finalize();
    let mut directory = Vec::new();
    let mut at = 0_u64;
    let mut member =
        |file: &mut BufWriter<File>, name: &str, content: &[u8], times: usize, sum: u32| -> io::Result<()> {
            let len = ((content.len() * times) as u32).to_le_bytes();
            let name_len = (name.len() as u16).to_le_bytes();
            let fields =
                [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &sum.to_le_bytes(), &len, &len, &name_len, &[0, 0]].concat();
            file.write_all(&[b"PK\x03\x04", &fields[..], name.as_bytes()].concat())?;
            for _ in 0..times {
                file.write_all(content)?;
            }
            let offset = u32::try_from(at).expect("the file is below four gigabytes").to_le_bytes();
            directory.extend([b"PK\x01\x02\x14\x00", &fields[..], &[0; 10], &offset, name.as_bytes()].concat());
            at += (30 + name.len() + content.len() * times) as u64;
            Ok(())
        };
    member(file, "net/data.pkl", &pickle, 1, crc32fast::hash(&pickle))?;
    member(file, "net/version", b"3\n", 1, crc32fast::hash(b"3\n"))?;
    for index in 0..count {
        member(file, &format!("net/data/{index}"), &noise, 8, body)?;
    }
    let entries = (count as u16 + 2).to_le_bytes();
    let (size, from) = ((directory.len() as u32).to_le_bytes(), (at as u32).to_le_bytes());
    file.write_all(&[&directory[..], b"PK\x05\x06\0\0\0\0", &entries, &entries, &size, &from, &[0, 0]].concat())
}
