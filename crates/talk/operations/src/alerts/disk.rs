//! Free space: said before anything is refused.

use haris_domain::Severity;

use super::{Alert, Case, Lasts};
use crate::DiskAnswer;

/// Shares of free space at which alerts are raised.
const LOW_PERCENT: u64 = 20;
const CRITICAL_PERCENT: u64 = 10;

pub(super) const DISK_LOW: Alert = Alert {
    id: "disk-low",
    title: "less than a fifth of the disk is free",
    severity: Severity::Medium,
    meaning: "The file system of the data directory fills up. Nothing is refused yet.",
    remedy: "Plan for room: `haris disk` says how fast it fills; prune what its retention allows, or enlarge the file system.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| below(&status.disk, CRITICAL_PERCENT..LOW_PERCENT),
};

pub(super) const DISK_CRITICAL: Alert = Alert {
    id: "disk-critical",
    title: "less than a tenth of the disk is free",
    severity: Severity::High,
    meaning: "When the file system of the data directory is full, requests are refused: events cannot be made durable.",
    remedy: "Make room now: `haris disk recover`, then prune what its retention allows, or enlarge the file system.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| below(&status.disk, 0..CRITICAL_PERCENT),
};

pub(super) const DISK_RESERVE_IN_USE: Alert = Alert {
    id: "disk-reserve-in-use",
    title: "the reserve for operators on a full disk is not whole",
    severity: Severity::Critical,
    meaning: "The disk is or was full, and operators' commands have used of what was set aside for them; or it never had the room. When the reserve is gone, a full disk locks operators out as well.",
    remedy: "Run `haris disk recover`, and free or add space. When there is room again the reserve is set aside anew, and service resumes, by themselves.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let disk = &status.disk;
        if disk.reserve_bytes >= disk.reserve_bytes_wanted {
            return Vec::new();
        }
        vec![Case::only(format!(
            "disk: {} of {} reserved bytes are set aside, {} bytes are free under {}",
            disk.reserve_bytes, disk.reserve_bytes_wanted, disk.free_bytes, disk.path
        ))]
    },
};

/// Holds while the free share lies in `percents`.
fn below(disk: &DiskAnswer, percents: std::ops::Range<u64>) -> Vec<Case> {
    if disk.total_bytes == 0 || !percents.contains(&disk.free_percent()) {
        return Vec::new();
    }
    let left = match disk.days_left {
        Some(0) => ", for less than a day at the present rate".to_owned(),
        Some(days) => format!(", for {days} days at the present rate"),
        None => String::new(),
    };
    vec![Case::only(format!(
        "disk: {} % ({} bytes) free under {}{left}: make room or move the data",
        disk.free_percent(),
        disk.free_bytes,
        disk.path
    ))]
}
