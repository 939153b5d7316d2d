//! The machine below an installation, without its name.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};

/// Folders of tiles and packs grow for ten years: below this depth they are summed up.
const DEPTH_MAX: usize = 2;
/// No folder of ours is as deep; a link is not followed.
const DEPTH_READ_MAX: usize = 32;

/// Kernel, processor, memory, limits, and the file system of the data directory.
pub(super) fn facts(data: &Path) -> Value {
    let uname = rustix::system::uname();
    let disk = rustix::fs::statvfs(data).ok();
    json!({
        "system": uname.sysname().to_string_lossy(),
        "release": uname.release().to_string_lossy(),
        "processor": uname.machine().to_string_lossy(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": fields("/proc/meminfo", &["MemTotal", "MemAvailable", "SwapTotal"], ':'),
        "limits": limits(),
        "file_system": file_system(data),
        "disk": disk.map(|disk| json!({
            "block_bytes": disk.f_frsize, "blocks": disk.f_blocks, "free": disk.f_bavail,
            "inodes": disk.f_files, "inodes_free": disk.f_favail,
        })),
    })
}

/// Named lines of a file of the kernel's.
fn fields(path: &str, names: &[&str], separator: char) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let named = text.lines().filter_map(|line| line.split_once(separator));
    let wanted = named.filter(|(name, _)| names.contains(&name.trim()));
    wanted
        .map(|(name, value)| (name.trim().to_owned(), Value::from(value.trim())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// What this process may use; a server started by the same service manager usually the same.
fn limits() -> Value {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let wanted = ["Max open files", "Max processes", "Max locked memory", "Max address space", "Max file size"];
    let limit = |name: &&str| {
        let line = text.lines().find_map(|line| line.strip_prefix(*name))?;
        Some(((*name).to_owned(), Value::from(line.split_whitespace().next()?)))
    };
    wanted.iter().filter_map(limit).collect::<serde_json::Map<_, _>>().into()
}

/// Type and options of the file system that holds `data`: those of the longest mount point above it.
fn file_system(data: &Path) -> Value {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Ok(real) = data.canonicalize() else { return Value::Null };
    // proc_pid_mountinfo(5): the mount point is the fifth field, its options the sixth, the type comes after ` - `.
    let mounts = text.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(4);
        let (point, options) = (front.next()?, front.next()?);
        real.starts_with(point).then_some((point.len(), back.split(' ').next()?, options))
    });
    // The last one mounted on a point covers those before it.
    let found = mounts.max_by_key(|(length, ..)| *length);
    found.map_or(Value::Null, |(_, kind, options)| json!({ "type": kind, "options": options }))
}

/// Files by their path in the data directory: how many, how long, which mode.
pub(super) fn files(data: &Path) -> Value {
    let mut found = BTreeMap::new();
    walk(data, data, 0, &mut found);
    let value = |(path, Found { count, bytes, mode }): (String, Found)| {
        (path, json!({ "files": count, "bytes": bytes, "mode": format!("{mode:o}") }))
    };
    Value::Object(found.into_iter().map(value).collect())
}

#[derive(Default)]
struct Found {
    count: u64,
    bytes: u64,
    mode: u32,
}

fn walk(root: &Path, folder: &Path, depth: usize, found: &mut BTreeMap<String, Found>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // Of a link this is the link itself.
        let Ok(meta) = entry.metadata() else { continue };
        let path = entry.path();
        if meta.is_dir() {
            if depth < DEPTH_READ_MAX {
                walk(root, &path, depth + 1, found);
            }
            continue;
        }
        let shown = if depth > DEPTH_MAX { path.ancestors().nth(depth - DEPTH_MAX) } else { Some(path.as_path()) };
        let shown = shown.and_then(|path| path.strip_prefix(root).ok()).unwrap_or(Path::new("?"));
        let one = found.entry(shown.display().to_string()).or_default();
        one.count += 1;
        one.bytes += meta.len();
        one.mode |= meta.mode() & 0o7777;
    }
}

/// Who may read the key directory; what is in it is nobody's concern.
pub(super) fn mode(keys: &Path) -> Value {
    match std::fs::metadata(keys) {
        Ok(meta) => json!({ "mode": format!("{:o}", meta.mode() & 0o7777) }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_folders_are_summed_up() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["haris.db", "blobs/tile/0/x001/000", "blobs/tile/0/x001/001", "blobs/tile/0/002"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "1234").unwrap();
        }
        std::os::unix::fs::symlink("/", dir.path().join("everything")).unwrap();
        let files = files(dir.path());
        let names: Vec<&String> = files.as_object().unwrap().keys().collect();
        assert_eq!(names, ["blobs/tile/0", "everything", "haris.db"]);
        assert_eq!(files["blobs/tile/0"]["files"], 3);
        assert_eq!(files["blobs/tile/0"]["bytes"], 12);
    }

    #[test]
    fn this_machine_has_facts() {
        let facts = facts(Path::new("/"));
        assert!(facts["file_system"]["type"].is_string() && facts["limits"]["Max open files"].is_string(), "{facts}");
        assert!(facts["memory"]["MemTotal"].is_string() && facts["disk"]["blocks"].is_u64(), "{facts}");
    }
}
