//! A network of its own for programs: a namespace that the test makes, and that ends with it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than the system takes to make one.
const PATIENCE: Duration = Duration::from_secs(10);
/// It ends by itself, whatever becomes of the test.
const LIFETIME_SECONDS: &str = "120";

/// A namespace, held by a process that sleeps in it.
#[derive(Debug)]
pub(crate) struct Network {
    holder: Child,
}

impl Network {
    /// A network that nothing is connected to, in which this process may do as it likes.
    pub(crate) fn new() -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net"]);
        Self::held_by(unshare)
    }

    /// Another one, whose owner is the same.
    pub(crate) fn neighbour(&self) -> Self {
        let mut unshare = self.command("unshare");
        unshare.arg("--net");
        Self::held_by(unshare)
    }

    fn held_by(mut unshare: Command) -> Self {
        unshare.args(["sleep", LIFETIME_SECONDS]).stdin(Stdio::null()).stdout(Stdio::null());
        let holder = unshare.spawn().expect("unshare of util-linux is there");
        let network = Self { holder };
        let end = Instant::now() + PATIENCE;
        while network.program().is_none_or(|program| program != "sleep") {
            assert!(Instant::now() < end, "no network namespace can be had on this machine");
            thread::sleep(Duration::from_millis(5));
        }
        network
    }

    /// What its holder runs: `sleep` once the namespace is made.
    fn program(&self) -> Option<String> {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid())).ok()?;
        Some(name.trim().to_owned())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// A command that runs in it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.pid().to_string();
        command.args(["--target", &target, "--user", "--preserve-credentials", "--net"]);
        command.arg(program);
        command
    }

    /// Runs `ip` of iproute2 in it.
    pub(crate) fn ip(&self, words: &str) {
        let output = self.command("ip").args(words.split(' ')).output().expect("nsenter is there");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words}: {error} (is iproute2 installed?)");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}
