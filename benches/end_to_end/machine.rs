//! The machine: cores, processes, and what a process has used.
//!
//! Guards: children end with their owner; CPU time is taken from `/proc`, for ours and others alike. Deliberately not
//! here: what is run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};

/// Where the mock DingTalk runs.
pub(crate) const SERVER_CORE: &str = "0";
/// Where whoever is measured runs.
pub(crate) const CLIENT_CORE: &str = "1";

/// `USER_HZ` is 100 on every Linux that Rust's std runs on but Alpha.
const TICK: Duration = Duration::from_millis(10);

/// A program bound to one core. `taskset` replaces itself by it, so the child's id is the program's.
pub(crate) fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

/// A child that is killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // An error means it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process has used up to an instant.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    /// Nanoseconds on a core, of each living thread.
    threads_ns: BTreeMap<String, u64>,
    /// User and system time of all threads, ended ones too: only good to a clock tick.
    ticked: Duration,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
}

impl Usage {
    /// Of the process with this id.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let folder = format!("/proc/{pid}");
        let mut threads_ns = BTreeMap::new();
        for entry in fs::read_dir(format!("{folder}/task")).context("the process has ended")? {
            let path = entry?.path();
            // A thread may end between the listing and the reading, and the kernel may be built without this file.
            let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok());
            threads_ns.extend(ns.map(|ns| (path.to_string_lossy().into_owned(), ns)));
        }
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The name, in brackets, may hold anything; user and system time are the 12th and 13th fields after it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        let ticked = TICK * u32::try_from(ticks(11) + ticks(12))?;
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let rss_kib: u64 = rss.trim().trim_end_matches(" kB").parse()?;
        Ok(Self { threads_ns, ticked, rss_bytes: rss_kib * 1024 })
    }

    /// CPU seconds between `earlier` and this. What threads used that ended meanwhile is only good to a clock tick.
    pub(crate) fn cpu_seconds_since(&self, earlier: &Self) -> f64 {
        let of_thread = |(id, ns): (&String, &u64)| ns - earlier.threads_ns.get(id).unwrap_or(&0).min(ns);
        let living = Duration::from_nanos(self.threads_ns.iter().map(of_thread).sum());
        living.max(self.ticked.saturating_sub(earlier.ticked).saturating_sub(TICK)).as_secs_f64()
    }
}

/// Waits, for three seconds at most, until others leave both cores nearly alone. (How much they used in the end is in
/// the figures.)
pub(crate) fn settle() {
    for _ in 0..10 {
        let before = busy_ticks();
        std::thread::sleep(Duration::from_millis(300));
        // 30 ticks of each core have passed; 15 % of one core are 4 or 5.
        if busy_ticks() - before < 5 {
            return;
        }
    }
}

/// Ticks (10 ms) that any process has used on any core.
pub(crate) fn busy_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    fields.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).take(6).map(|(_, ticks)| ticks).sum()
}

/// Cores, processor, kernel: what a reader must know beside the figures.
pub(crate) fn description() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores ({}), Linux {}", model.trim_start_matches(['\t', ':', ' ']), kernel.trim())
}
