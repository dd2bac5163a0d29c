//! System calls of a process, counted by `perf` where it is there. Counting slows each of them down
//! a little, so this is done in a run of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long `perf` may take to begin.
const START_TIME: Duration = Duration::from_millis(300);

/// A count under way.
#[derive(Debug)]
pub(super) struct Calls {
    perf: Child,
    file: PathBuf,
}

impl Calls {
    /// Begins to count.
    pub(super) fn count(process: u32) -> Option<Self> {
        let file = std::env::temp_dir().join(format!("moorline-bench-calls-{process}"));
        let perf = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &process.to_string()])
            .arg("-o")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        std::thread::sleep(START_TIME);
        Some(Self { perf, file })
    }

    /// Ends it.
    pub(super) fn end(mut self) -> Option<u64> {
        kill_process(Pid::from_child(&self.perf), Signal::INT).ok()?;
        self.perf.wait().ok()?;
        let text = fs::read_to_string(&self.file).ok()?;
        _ = fs::remove_file(&self.file);
        let line = text.lines().find(|line| line.contains("sys_enter"))?;
        line.split(',').next()?.parse().ok()
    }

    /// Whether it can be had.
    pub(super) fn is_there() -> bool {
        let perf = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "true"])
            .output();
        perf.is_ok_and(|out| {
            String::from_utf8_lossy(&out.stderr)
                .lines()
                .any(|line| line.contains("sys_enter") && line.as_bytes()[0].is_ascii_digit())
        })
    }
}
