//! What the program can be told. Names of flags are kept stable.

use std::env;
use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgGroup, Parser, Subcommand, ValueEnum};
use moorline::{
    Carrier, DuplicatePolicy, HostPublicKey, KcpConfig, LivenessPolicy, Printable, SyncPort,
    host_key,
};

use crate::relay::Shaping;

/// Sessions for real-time programs over UDP.
#[derive(Debug, Parser)]
#[command(name = "moorline", version, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a host and many clients on this machine, and watch their sessions live.
    Demo(Demo),
    /// Run a host that echoes and relays, until SIGINT or SIGTERM.
    Serve(Serve),
    /// Open one session; what is typed is sent, what happens is shown.
    Connect(Connect),
    /// Put a host under load, and account for every message.
    Bots(Bots),
    /// Stand between clients and a host, and lose, delay and damage what passes.
    Relay(Relay),
    /// Play whole worlds on virtual time, with faults from a seed, and check what must hold.
    Sim(Sim),
    /// Read a run report: summary and diagnosis.
    Report(Report),
}

const DEMO_HELP: &str = "\
Some clients vanish, come back, log out, fail their login or are evicted.

With any of the conditions, the clients connect through a relay, as `moorline relay` is one. Up to
some 5 % loss and 25 ms each way everything still has to go as scripted; far beyond, clients lose
their sessions. With --kcp, what is damaged on the way may arrive so: KCP has no checksum.

Exit code 0: every session ended as scripted; 1: some did not; 2: it could not start.

The JSON has `sessions`, `seconds`, `roles` (role to `sessions` and `as_scripted`), `states` (state
name to count), `messages` of the sessions that stayed (as of `bots`), `host_messages`, `rtt_ms`
{`p50`, `p99`, `max`} of heartbeats, and `failures`, a line each.";

const SERVE_HELP: &str = "\
Messages of kind 100 are words and go to everyone, with the sender's name before them; 101
(reliable) and 102 (latest) come back as they are; those of existing KCP peers go to everyone else.

With --json, one object a line, told apart by `event`: `listening` {`native`, `host_key`, `kcp`,
`kcp_sync`}, `warning`
{`text`}, `session` {`at_ms`, `session`, `kind`, `from`, `to`, `identity`, `address`, `reason`,
`cause`, `gap`},
`stopped` {`sessions`, `messages`, `answers_refused`, `malformed`}. The report's fields are those of
moorline_metrics::Report.

Exit code 0: it was stopped, in order, and its report was written; 1: the report was not; 2: it
could not start.";

const SIM_HELP: &str = "\
A run is a host, its clients and the network between them. Its seed decides everything: who takes
part, which faults there are, when, and what each datagram meets. After the faults everyone must get
in again, and at the end nothing may be left.

A run that breaks a rule prints what was seen and the command that repeats it.

Exit code 0: every run kept every rule; 1: some did not; 2: it could not start.";

const BOTS_HELP: &str = "\
Every bot logs in and sends numbered messages on the reliable and on the latest lane, which the host
sends back.

Exit code 0: every bot ended LoggedIn, and no reliable message was lost, duplicated or out of order;
1: otherwise; 2: no bot could log in.

The JSON has `sessions` (state name to count), `messages` {`sent`, `received`, `lost`, `duplicated`,
`out_of_order`, `corrupted`} of the reliable lane, `sync` (the same of the latest lane, where losing
is allowed), `latency_ms` {`p50`, `p99`, `max`}, there and back on the reliable lane,
`sync_latency_ms` on the latest, `refused_sends`, `reconnects`, `resumes`, `gaps`, `resume_ms`
{`p50`, `p99`, `max`}, without a link until resumed, and `seconds`.";

const RELAY_HELP: &str = "\
Clients connect to the relay as if it were the host; each is one address to the host, and all share
one path. Without a condition everything passes.

While it runs, lines on standard input change what comes from then on: `loss 5`, `up delay 100
jitter 20`, `down rate 64k`, `mtu none`, `cut`, `heal`; the names are those of the flags. `status`
tells what passed, and so does its end, on SIGINT or SIGTERM. Each line is answered by one, which
begins with `!` if nothing was done.";

#[derive(Debug, Parser)]
#[command(after_help = DEMO_HELP)]
pub(crate) struct Demo {
    /// How many clients.
    #[arg(long, value_name = "N", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(10..=5_000))]
    pub(crate) sessions: u32,
    /// How long it runs.
    #[arg(long, value_name = "S", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(5..=3_600))]
    pub(crate) seconds: u32,
    /// Write what happened as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Speak KCP, in plaintext.
    #[arg(long)]
    pub(crate) kcp: bool,
    #[command(flatten)]
    pub(crate) shaping: Shaping,
}

#[derive(Debug, Parser)]
#[command(after_help = SERVE_HELP)]
#[command(group(ArgGroup::new("listeners").required(true).multiple(true).args(["bind", "kcp"])))]
pub(crate) struct Serve {
    /// Listen here for clients that know the host's key: encrypted.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) bind: Option<SocketAddr>,
    /// The host's key; made on the first start, with FILE.pub for the clients beside it.
    #[arg(long, value_name = "FILE", default_value = "moorline.key", requires = "bind")]
    pub(crate) key: PathBuf,
    /// Listen for KCP peers here: plaintext, and anyone can claim to be anyone.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) kcp: Option<SocketAddr>,
    /// Listen for their sync lane here.
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "kcp")]
    pub(crate) kcp_sync: Option<SocketAddr>,
    /// The most sessions at a time.
    #[arg(long, value_name = "N", default_value_t = 4_096, value_parser = positive)]
    pub(crate) max_sessions: usize,
    /// The most sessions of one address. Default: 64, but on a loopback address as many as there
    /// may be.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) max_per_address: Option<usize>,
    /// When one name logs in twice, refuse the one who comes, or have it supersede the one who is
    /// there; a number lets so many of one name in.
    #[arg(long, value_name = "refuse|supersede|N", default_value = "refuse",
        value_parser = duplicate)]
    pub(crate) duplicate: DuplicatePolicy,
    /// Silence after which a user is lost, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "6", value_parser = more_than_a_beat)]
    pub(crate) timeout: Duration,
    /// Lose a user sooner whose heartbeats are regular, but no sooner than this, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = more_than_a_beat)]
    pub(crate) timeout_min: Option<Duration>,
    /// How long a session is kept for a user who was lost, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30", allow_negative_numbers = true,
        value_parser = seconds)]
    pub(crate) keep: Duration,
    /// Keep the sessions of native clients in this file as well: a host that was killed or stopped
    /// and is started again with the same key and file goes on with them, without a login.
    #[arg(long, value_name = "FILE", requires = "bind")]
    pub(crate) state: Option<PathBuf>,
    /// When the host is told to stop, send everyone to this host, which has the same key
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) drain_to: Option<SocketAddr>,
    /// Within which time they go there, each at its own, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", requires = "drain_to",
        allow_negative_numbers = true, value_parser = up_to_an_hour)]
    pub(crate) drain_within: Duration,
    /// Ask each native user to log in again so long after the last time, in seconds.
    #[arg(long, value_name = "SECONDS", requires = "bind", value_parser = some_seconds)]
    pub(crate) login_again: Option<Duration>,
    /// How many threads serve native clients, each with a socket of its own; 64 at the most.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bind", value_parser = positive)]
    pub(crate) shards: usize,
    /// Write the run report into this folder when the host stops.
    #[arg(long, value_name = "DIR")]
    pub(crate) report_dir: Option<PathBuf>,
    /// Print events as JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a host is spoken to.
#[derive(Debug, clap::Args)]
pub(crate) struct Way {
    /// The host's public key, as `serve` prints it.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["host_key_file", "kcp", "sync_port"])]
    host_key: Option<HostPublicKey>,
    /// The file with the host's public key, which `serve` writes. Without either, the environment
    /// variable MOORLINE_HOST_KEY names the key.
    #[arg(long, value_name = "FILE.pub", conflicts_with_all = ["kcp", "sync_port"])]
    host_key_file: Option<PathBuf>,
    /// Speak KCP: plaintext, and the host may be anyone.
    #[arg(long)]
    kcp: bool,
    /// The host's port of the sync lane.
    #[arg(long, value_name = "PORT", requires = "kcp")]
    pub(crate) sync_port: Option<u16>,
}

/// The variable that names the host's key where no flag does.
const HOST_KEY_VARIABLE: &str = "MOORLINE_HOST_KEY";

impl Way {
    /// What carries a client's session.
    pub(crate) fn carrier(&self) -> Result<Carrier, Box<dyn Error>> {
        if self.kcp {
            let kcp = KcpConfig { sync: self.sync_port.map(SyncPort), ..KcpConfig::default() };
            return Ok(Carrier::KcpPlaintextUnauthenticated { kcp });
        }
        let key = match (&self.host_key, &self.host_key_file) {
            (Some(key), _) => *key,
            (None, Some(path)) => host_key::load_public(path)?,
            (None, None) => match env::var(HOST_KEY_VARIABLE) {
                Ok(text) => {
                    text.parse().map_err(|error| format!("{HOST_KEY_VARIABLE}: {error}"))?
                }
                Err(_) => return Err(KEY_MISSING.into()),
            },
        };
        Ok(Carrier::Native { host: key, native: Box::default() })
    }
}

const KEY_MISSING: &str = "the host's key is missing: take it from what `moorline serve` prints \
    (--host-key KEY), or the file it writes (--host-key-file FILE.pub), or set MOORLINE_HOST_KEY";

#[derive(Debug, Parser)]
pub(crate) struct Connect {
    /// The host, as address:port or name:port.
    #[arg(value_name = "ADDR", value_parser = remote)]
    pub(crate) host: SocketAddr,
    #[command(flatten)]
    pub(crate) way: Way,
    /// The name to log in with.
    #[arg(long)]
    pub(crate) name: String,
    /// Show every event but the heartbeats, which come every two seconds.
    #[arg(long)]
    pub(crate) no_beats: bool,
}

#[derive(Debug, Parser)]
#[command(after_help = BOTS_HELP)]
pub(crate) struct Bots {
    /// The host, as address:port or name:port.
    #[arg(value_name = "ADDR", value_parser = remote)]
    pub(crate) host: SocketAddr,
    #[command(flatten)]
    pub(crate) way: Way,
    /// How many bots.
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) count: u32,
    /// Messages a second and lane, of each bot.
    #[arg(long, value_name = "HZ", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rate: u32,
    /// Bytes of a message.
    #[arg(long, value_name = "BYTES", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(24..=60_000))]
    pub(crate) size: u32,
    /// How long they send.
    #[arg(long, value_name = "S", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Cut some of them off, and then others, for longer than a silence is borne
    #[arg(long)]
    pub(crate) chaos: bool,
    /// What the bots' names begin with.
    #[arg(long, default_value = "bot-")]
    pub(crate) prefix: String,
    /// Write the result as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Bots {
    pub(crate) fn name(&self, number: u32) -> String {
        format!("{}{number}", self.prefix)
    }
}

#[derive(Debug, Parser)]
#[command(after_help = RELAY_HELP)]
pub(crate) struct Relay {
    /// Where clients connect.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// The host.
    #[arg(long, value_name = "ADDR", value_parser = remote)]
    pub(crate) to: SocketAddr,
    #[command(flatten)]
    pub(crate) shaping: Shaping,
}

#[derive(Debug, Parser)]
#[command(after_help = SIM_HELP)]
pub(crate) struct Sim {
    /// The seed of the first run; each further run has the next one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many runs.
    #[arg(long, value_name = "K", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) seeds: u64,
    /// For how long things go wrong in each, in virtual minutes.
    #[arg(long, value_name = "M", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) minutes: u32,
    /// What carries the sessions.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = SimTransport::Native)]
    pub(crate) transport: SimTransport,
    /// Only what links die of, again and again: nothing that was sent reliably may be lost
    #[arg(long)]
    pub(crate) only_links: bool,
    /// Write every event and datagram of the one run into this file.
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    pub(crate) trace: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SimTransport {
    /// Links of the native protocol.
    Native,
    /// Links of existing KCP peers.
    Kcp,
    /// Frames in the clear, of which none is repeated.
    Memory,
}

#[derive(Debug, Parser)]
pub(crate) struct Report {
    /// The report that `serve --report-dir` wrote.
    pub(crate) file: PathBuf,
}

/// An address, or a name that has one.
fn address(text: &str) -> Result<SocketAddr, String> {
    if !text.contains(':') {
        return Err(format!("'{text}' has no port: write {text}:PORT"));
    }
    let mut found = text.to_socket_addrs().map_err(|error| format!("'{text}': {error}"))?;
    found.next().ok_or_else(|| format!("'{text}' has no address"))
}

/// The address of a host, as its peers have to call it.
fn remote(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if address.port() == 0 {
        return Err("no host listens on port 0: name the port that it printed".to_owned());
    }
    if address.ip().is_unspecified() {
        return Err(
            "a host listens there, but nobody can call it so: name one of its addresses".to_owned()
        );
    }
    Ok(address)
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn duplicate(text: &str) -> Result<DuplicatePolicy, String> {
    match (text, text.parse()) {
        ("refuse", _) => Ok(DuplicatePolicy::Refuse),
        ("supersede", _) => Ok(DuplicatePolicy::Supersede),
        (_, Ok(most @ 1..)) => Ok(DuplicatePolicy::Allow(most)),
        _ => Err("must be refuse, supersede or a number, 1 at the least".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "must be seconds, such as 30 or 0.5".to_owned())
}

fn up_to_an_hour(text: &str) -> Result<Duration, String> {
    let some = seconds(text).ok().filter(|time| *time <= Duration::from_secs(3_600));
    some.ok_or_else(|| "must be seconds, 3600 at the most".to_owned())
}

fn more_than_a_beat(text: &str) -> Result<Duration, String> {
    let beat = LivenessPolicy::default().beat_interval;
    let some = seconds(text).ok().filter(|time| *time > beat);
    some.ok_or_else(|| format!("must be seconds, more than the {beat:?} between two heartbeats"))
}

fn some_seconds(text: &str) -> Result<Duration, String> {
    let some = seconds(text).ok().filter(|time| *time >= Duration::from_millis(100));
    some.ok_or_else(|| "must be seconds, 0.1 at the least".to_owned())
}

/// A mistake on the command line as one line; `None` where help was asked for.
pub(crate) fn mistake(error: &clap::Error) -> Option<String> {
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help || !error.use_stderr() {
        return None;
    }
    let text = error.to_string();
    let words = text.lines().map(str::trim).take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    let words = words.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let words = words.strip_prefix("error: ").unwrap_or(&words);
    let words = words.replace(" tip: ", "; ");
    Some(format!("{} (--help tells more)", Printable(words.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn wrong_values_are_told_in_words() {
        assert!(address("localhost").expect_err("no port").contains("write localhost:PORT"));
        assert!(address("127.0.0.1:99999").is_err());
        assert_eq!(positive("0"), Err("must be at least 1".to_owned()));
        assert_eq!(duplicate("3"), Ok(DuplicatePolicy::Allow(3)));
        assert!(duplicate("0").is_err() && duplicate("first").is_err());
        assert!(up_to_an_hour("3601").is_err() && up_to_an_hour("0").is_ok());
        assert!(seconds("-1").is_err());
        assert!(remote("127.0.0.1:0").is_err() && remote("0.0.0.0:7777").is_err());
    }

    #[test]
    fn a_mistake_is_one_line_whatever_was_typed() {
        let told = |args: &[&str]| {
            let error = Args::try_parse_from(args).expect_err("a mistake");
            mistake(&error).expect("no help")
        };
        let forged = told(&["moorline", "serve", "--kcp", "a\n\x1b[2Jb"]);
        assert!(!forged.contains(char::is_control), "{forged}");
        let missing = told(&["moorline", "connect", "127.0.0.1:9"]);
        assert!(missing.contains("not provided: --name <NAME> ("), "{missing}");
        let nowhere = told(&["moorline", "serve"]);
        assert!(nowhere.contains("<--bind <ADDR>|--kcp <ADDR>>"), "{nowhere}");
        let wrong = told(&["moorline", "connect", "127.0.0.1:9", "--host-key", "mlk1qq"]);
        assert!(wrong.contains("a key has 62 characters"), "{wrong}");
        let unknown = told(&["moorline", "demo", "--second", "5"]);
        assert!(unknown.contains("found; a similar argument exists: '--seconds'"), "{unknown}");
    }

    #[test]
    fn help_is_not_a_mistake() {
        for args in [&["moorline"][..], &["moorline", "bots", "--help"]] {
            let error = Args::try_parse_from(args).expect_err("help");
            assert_eq!(mistake(&error), None);
        }
    }
}
