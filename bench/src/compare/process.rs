//! Server and load in processes of their own, so that the processor time of the one is its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::account::Account;
use super::orders::Order;
use super::seam::told;
use super::trial::Trial;

/// A process that does not answer for so long has failed.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// A process that was told to end has so long for it.
const END_TIME: Duration = Duration::from_secs(2);

/// One end of a trial. It ends with this.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
    errors: Receiver<String>,
}

impl Process {
    /// Starts this program again, as one end of the trial, and says what it told when it was ready.
    pub(super) fn start(
        name: &'static str,
        trial: &Trial,
        invitation: &str,
    ) -> Result<(Self, String), String> {
        let program = std::env::current_exe().map_err(told)?;
        let trial = serde_json::to_string(trial).map_err(told)?;
        let mut child = Command::new(program)
            .args([name, &trial, invitation])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(told)?;
        let orders = child.stdin.take();
        let answers = lines(child.stdout.take());
        let errors = lines(child.stderr.take());
        let mut process = Self { name, child, orders, answers, errors };
        let line = process.answer()?;
        let ready = line.strip_prefix("ready").ok_or_else(|| format!("{name}: {line}"))?;
        Ok((process, ready.trim().to_owned()))
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order, and takes the account that is its answer.
    pub(super) fn order(&mut self, order: Order) -> Result<Account, String> {
        self.tell(order);
        self.account()
    }

    fn account(&mut self) -> Result<Account, String> {
        let line = self.answer()?;
        serde_json::from_str(&line).map_err(|error| format!("{}: {error}: {line}", self.name))
    }

    fn tell(&mut self, order: Order) {
        if let Some(orders) = &mut self.orders {
            // Who does not hear it does not answer either.
            _ = writeln!(orders, "{}", order.word());
        }
    }

    fn answer(&mut self) -> Result<String, String> {
        match self.answers.recv_timeout(ANSWER_TIME) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(format!("{} does not answer", self.name)),
            Err(RecvTimeoutError::Disconnected) => Err(self.last_words()),
        }
    }

    /// Why it ended: the line that says most.
    fn last_words(&mut self) -> String {
        let lines: Vec<String> = self.errors.iter().take(64).collect();
        let is_telling = |line: &&String| !line.is_empty() && !line.starts_with("note:");
        let place = lines.iter().position(|line| line.contains("panicked at"));
        let line = lines.iter().skip(place.map_or(0, |place| place + 1)).find(is_telling);
        let line = line.map_or("it ended", String::as_str);
        format!("{}: {line}", self.name)
    }
}

/// The load: as many processes as its clients need files.
#[derive(Debug)]
pub(super) struct Load(Vec<Process>);

/// Files that a process has beside those of its clients.
const FILES: u64 = 256;

impl Load {
    /// Starts all of them.
    pub(super) fn start(trial: &Trial, invitation: &str) -> Result<Self, String> {
        let files = moorline_udp::raise_open_files_limit(u64::from(trial.clients) + FILES);
        let most = u32::try_from(files.saturating_sub(FILES)).unwrap_or(u32::MAX).max(1);
        let parts = (0..trial.clients).step_by(most as usize).map(|first| {
            let clients = most.min(trial.clients - first);
            Process::start("load", &Trial { first, clients, ..trial.clone() }, invitation)
        });
        Ok(Self(parts.map(|part| Ok(part?.0)).collect::<Result<_, String>>()?))
    }

    /// As [`Process::order`]: the sum of their accounts.
    pub(super) fn order(&mut self, order: Order) -> Result<Account, String> {
        self.0.iter_mut().for_each(|process| process.tell(order));
        let mut sum: Option<Account> = None;
        for process in &mut self.0 {
            let account = process.account()?;
            match &mut sum {
                Some(sum) => sum.add(&account),
                None => sum = Some(account),
            }
        }
        sum.ok_or_else(|| "no clients".to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.tell(Order::End);
        self.orders = None;
        let end = Instant::now() + END_TIME;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What a pipe gives, line by line; a thread reads it, so that it is never full.
fn lines(pipe: Option<impl std::io::Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}
