//! The program as its users have it: started, read line by line, typed into, sent signals, and
//! killed at the end whatever happens.

#![allow(dead_code, reason = "each test file uses the part of this that it needs")]

mod network;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use network::Network;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes here, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    name: String,
    output: Arc<Lines>,
}

/// What the program printed so far, on both streams.
#[derive(Debug, Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
    came: Condvar,
}

impl Program {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_as(command(args), args)
    }

    /// Starts the program in a network of its own.
    pub(crate) fn start_in(network: &Network, args: &[&str]) -> Self {
        let mut command = network.command(env!("CARGO_BIN_EXE_moorline"));
        command.args(args).env("NO_COLOR", "1");
        Self::start_as(command, args)
    }

    fn start_as(mut command: Command, args: &[&str]) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = Arc::new(Lines::default());
        read_into(&output, child.stdout.take().expect("a pipe"));
        read_into(&output, child.stderr.take().expect("a pipe"));
        Self { child, name: args.join(" "), output }
    }

    /// A host on this address, and where it listens.
    pub(crate) fn serve(address: &str, args: &[&str]) -> (Self, SocketAddr) {
        let mut host = Self::start(&[&["serve", "--kcp", address], args].concat());
        let told = host.wait_for("listening");
        let address = told.split(['"', ' ']).find_map(|word| word.parse().ok());
        (host, address.expect("an address"))
    }

    /// A host on a loopback address that keeps its key in this folder, where it listens, and its
    /// public key.
    pub(crate) fn serve_native(folder: &Folder, args: &[&str]) -> (Self, SocketAddr, String) {
        let key = folder.file("host.key");
        let own = ["serve", "--bind", "127.0.0.1:0", "--key", &key];
        let mut host = Self::start(&[&own, args].concat());
        let told = host.wait_for("(native, encrypted)");
        let address = told.split(' ').find_map(|word| word.parse().ok());
        let key = host.wait_for("host key ").replace("host key ", "");
        (host, address.expect("an address"), key)
    }

    /// A relay to this host, and where it listens.
    pub(crate) fn relay(host: SocketAddr, args: &[&str]) -> (Self, SocketAddr) {
        let to = host.to_string();
        let ends = ["relay", "--listen", "127.0.0.1:0", "--to", &to];
        let mut relay = Self::start(&[&ends, args].concat());
        let told = relay.wait_for("relay on ");
        let address = told.split(' ').find_map(|word| word.parse().ok());
        (relay, address.expect("an address"))
    }

    /// A user who is logged in.
    pub(crate) fn connect(host: SocketAddr, name: &str) -> Self {
        let mut user = Self::dial(host, name);
        user.wait_for("LoginSucceeded");
        user
    }

    /// A user who tries to log in.
    pub(crate) fn dial(host: SocketAddr, name: &str) -> Self {
        Self::start(&["connect", &host.to_string(), "--kcp", "--name", name])
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{line}").expect("the program reads");
    }

    /// Types nothing any more.
    pub(crate) fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for a line with this in it, among all that were printed.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_nth(1, text)
    }

    /// Waits for as many lines with this in them, and gives the last of these.
    pub(crate) fn wait_for_nth(&mut self, count: usize, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = lines.iter().filter(|line| line.contains(text)).nth(count - 1) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no '{text}' from '{}':\n{}", self.name, lines.join("\n"));
            let waited = self.output.came.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything that was printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// Ends it without a word, as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end; its exit code and everything that it printed.
    pub(crate) fn finish(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                // The readers are as good as done: the pipes are closed.
                thread::sleep(Duration::from_millis(50));
                return (status.code(), self.lines().join("\n"));
            }
            assert!(Instant::now() < end, "'{}' does not end", self.name);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop, as a supervisor does, and waits for its end.
    pub(crate) fn stop(self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        self.finish()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended already is fine.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read_into(lines: &Arc<Lines>, pipe: impl Read + Send + 'static) {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lines.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            lines.came.notify_all();
        }
    });
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
    command.args(args).env("NO_COLOR", "1");
    command
}

/// Runs the program to its end, with nothing to read.
pub(crate) fn run(args: &[&str]) -> (Option<i32>, String) {
    Program::start(args).finish()
}

/// Runs the program to its end: exit code, standard output and standard error.
pub(crate) fn run_apart(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        command(args).stdin(Stdio::null()).output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A folder of its own for a test, gone at its end.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let mut name = format!("moorline-{test}");
        write!(name, "-{}", std::process::id()).expect("a string takes it");
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// The files in it whose names end so.
    pub(crate) fn files(&self, ending: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let names = paths.map(|path| path.to_str().expect("UTF-8").to_owned());
        names.filter(|name| name.ends_with(ending)).collect()
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The kinds of a client's events, in order, without heartbeats and what is told of them.
pub(crate) fn events(lines: &[String]) -> Vec<String> {
    let told = lines.iter().filter_map(|line| line.strip_prefix("* "));
    let kinds = told.filter_map(|line| {
        let (_, rest) = line.split_once(": ")?;
        Some(rest.split(' ').next()?.to_owned())
    });
    let beats = ["HeartbeatSent", "HeartbeatReceived", "Degraded", "Recovered"];
    kinds.filter(|kind| !beats.contains(&kind.as_str())).collect()
}

/// The same, without attempts that came to nothing: how many there were is a matter of chance.
pub(crate) fn story(lines: &[String]) -> Vec<String> {
    let mut story = events(lines);
    let attempt = ["ReconnectScheduled", "ReconnectStarted"];
    let is_attempt = |at: &[String]| at.len() == 2 && at == attempt;
    while let Some(at) =
        story.windows(4).position(|four| is_attempt(&four[..2]) && is_attempt(&four[2..]))
    {
        story.drain(at..at + 2);
    }
    story
}
