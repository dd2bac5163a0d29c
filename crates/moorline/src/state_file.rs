//! Sessions in a file, so that they outlive the host's process.
//!
//! The file is a list that is only added to: a session as it was saved last, or that it is over.
//! It is written before anyone hears of the change, and written anew, under another name that then
//! becomes its own, when too much of it is void. So a process may die at any time: what is there is
//! whole but for its end, and an end that is torn is passed over. Everything but the head is sealed
//! with the host's key, each entry at its place.
//!
//! It is not synchronised with the disk at each change: it outlives the process, not a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use moorline_link::{Identity, Time};
use moorline_proto::crypto::{HostKey, Vault};
use moorline_session::{SavedSession, SessionId};

use crate::clock::random_bytes;
use crate::host_key::{Readers, draft_path, open_new};

/// What such a file begins with; 32 random bytes follow.
const HEAD: &[u8; 16] = b"moorline state 1";
/// What the first entry says, so that another host's file is known as such.
const GREETING: &[u8] = b"sessions";
/// The longest entry, in bytes: an identity, an address and what a transport saves.
const ENTRY_LEN_MAX: usize = 4_096;
/// The longest file that is read. Whoever keeps more sessions has something else in mind.
const FILE_LEN_MAX: u64 = 1 << 30;
/// A file is written anew when it has more bytes than this, and twice those that are not void.
const REWRITE_LEN_MIN: u64 = 1 << 20;
/// How long after a failure it is written anew.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The file, and what is known of it.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    vault: Vault,
    /// The file of this run.
    journal: Option<Journal>,
    /// The file of the run before, locked until this run's takes its place.
    before: Option<File>,
    /// How long the file was when it was written anew.
    whole_len: u64,
    failure: Option<io::Error>,
    retry_at: Time,
}

impl StateFile {
    /// Opens the file at `path`, if there is one, and gives the sessions that an earlier run left
    /// there. Nothing is written before [`begin`](Self::begin).
    pub(crate) fn open(
        path: &Path,
        key: &HostKey,
    ) -> Result<(Self, Vec<SavedSession>), StateFileError> {
        let vault = Vault::new(key);
        let (before, sessions) = match read(path, &vault) {
            Ok((file, sessions)) => (Some(file), sessions),
            Err(Problem::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                (None, Vec::new())
            }
            Err(problem) => return Err(StateFileError { path: path.to_owned(), problem }),
        };
        let path = path.to_owned();
        let (journal, failure, retry_at) = (None, None, Time::ZERO);
        Ok((Self { path, vault, journal, before, whole_len: 0, failure, retry_at }, sessions))
    }

    /// Begins this run's file, with these sessions, in the place of the one before.
    pub(crate) fn begin(
        &mut self,
        sessions: impl Iterator<Item = (SessionId, SavedSession)>,
    ) -> Result<(), StateFileError> {
        self.write_anew(sessions).map_err(|error| StateFileError {
            path: self.path.clone(),
            problem: Problem::Io(error),
        })
    }

    /// Whether [`note`](Self::note) would write something.
    pub(crate) fn is_due(&self, now: Time, changed: &BTreeSet<SessionId>) -> bool {
        match self.failure {
            Some(_) => now >= self.retry_at,
            None => !changed.is_empty(),
        }
    }

    /// Notes what became of the sessions that `changed`. A failure is told by
    /// [`failure`](Self::failure) and tried again later; the sessions go on.
    pub(crate) fn note(
        &mut self,
        now: Time,
        changed: &BTreeSet<SessionId>,
        saved: impl Fn(SessionId) -> Option<SavedSession>,
        all: impl Iterator<Item = SessionId>,
    ) {
        let entries = changed.iter().map(|id| (*id, saved(*id)));
        let written = match &mut self.journal {
            Some(journal) if self.failure.is_none() && !journal.is_long(self.whole_len) => {
                journal.add(&self.vault, entries)
            }
            _ => self.write_anew(all.filter_map(|id| Some((id, saved(id)?)))),
        };
        self.failure = written.err();
        self.retry_at = now + RETRY_AFTER;
    }

    /// Why the file is behind, if it is.
    pub(crate) fn failure(&self) -> Option<String> {
        let (error, path) = (self.failure.as_ref()?, self.path.display());
        Some(format!("state file {path}: {error}: sessions would not outlive this process"))
    }

    fn write_anew(
        &mut self,
        sessions: impl Iterator<Item = (SessionId, SavedSession)>,
    ) -> io::Result<()> {
        let draft = draft_path(&self.path);
        let written = Journal::create(&draft, &self.vault).and_then(|mut journal| {
            journal.add(&self.vault, sessions.map(|(id, saved)| (id, Some(saved))))?;
            journal.file.sync_all()?;
            fs::rename(&draft, &self.path)?;
            Ok(journal)
        });
        if written.is_err() {
            fs::remove_file(&draft).ok();
        }
        let journal = written?;
        self.whole_len = journal.len;
        (self.journal, self.before) = (Some(journal), None);
        Ok(())
    }
}

/// A file that is added to.
#[derive(Debug)]
struct Journal {
    file: File,
    id: [u8; 32],
    /// How many entries it has, and how many bytes.
    entries: u64,
    len: u64,
}

impl Journal {
    fn create(path: &Path, vault: &Vault) -> io::Result<Self> {
        let (mut file, id) = (open_new(path, Readers::Owner)?, random_bytes()?);
        file.try_lock()?;
        let head = [&HEAD[..], &id].concat();
        file.write_all(&head)?;
        let mut journal = Self { file, id, entries: 0, len: head.len() as u64 };
        journal.write(vault, std::iter::once(GREETING.to_vec()))?;
        Ok(journal)
    }

    fn is_long(&self, whole_len: u64) -> bool {
        self.len > REWRITE_LEN_MIN && self.len > whole_len.saturating_mul(2)
    }

    fn add(
        &mut self,
        vault: &Vault,
        entries: impl Iterator<Item = (SessionId, Option<SavedSession>)>,
    ) -> io::Result<()> {
        self.write(vault, entries.map(|(id, saved)| encode(id, saved.as_ref())))
    }

    /// All of them in one write.
    fn write(&mut self, vault: &Vault, entries: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        let mut out = Vec::new();
        for entry in entries {
            let mut nonce = [0; 12];
            nonce.copy_from_slice(&random_bytes()?[..12]);
            let sealed = vault.seal(nonce, &context(&self.id, self.entries), &entry);
            let sealed = sealed.ok_or_else(|| io::Error::other("too long to be sealed"))?;
            out.extend((sealed.len() as u32).to_be_bytes());
            out.extend(sealed);
            self.entries += 1;
        }
        self.len += out.len() as u64;
        self.file.write_all(&out)
    }
}

/// What an entry is sealed with: it is of this file, at this place.
fn context(file: &[u8; 32], place: u64) -> Vec<u8> {
    [&HEAD[..], file, &place.to_be_bytes()].concat()
}

/// The file, and the sessions in it.
fn read(path: &Path, vault: &Vault) -> Result<(File, Vec<SavedSession>), Problem> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(Problem::NoFile);
    }
    if about.len() > FILE_LEN_MAX {
        return Err(Problem::TooLong);
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Problem::InUse),
        Err(TryLockError::Error(error)) => return Err(Problem::Io(error)),
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((file, parse(&bytes, vault)?))
}

fn parse(bytes: &[u8], vault: &Vault) -> Result<Vec<SavedSession>, Problem> {
    let (id, mut rest) = bytes
        .strip_prefix(HEAD)
        .and_then(|bytes| bytes.split_first_chunk())
        .ok_or(Problem::OtherFile)?;
    let mut place = 0;
    let mut next = || {
        let (len, after) = rest.split_first_chunk()?;
        let len = u32::from_be_bytes(*len) as usize;
        let sealed = after.get(..len).filter(|_| len <= ENTRY_LEN_MAX)?;
        let opened = vault.open(&context(id, place), sealed)?;
        rest = &after[len..];
        place += 1;
        Some(opened)
    };
    if next().as_deref() != Some(GREETING) {
        return Err(Problem::OtherKey);
    }
    // What comes after an entry that is torn or was changed is passed over.
    let mut sessions = BTreeMap::new();
    while let Some((id, saved)) = next().and_then(|entry| decode(&entry)) {
        match saved {
            Some(saved) => sessions.insert(id, saved),
            None => sessions.remove(&id),
        };
    }
    Ok(sessions.into_values().collect())
}

/// The session's id, and unless it is over: its transport's number, then identity, address and what
/// the transport saved, each after its length.
fn encode(id: SessionId, saved: Option<&SavedSession>) -> Vec<u8> {
    let mut out = id.0.to_be_bytes().to_vec();
    if let Some(SavedSession { identity, address, transport, link }) = saved {
        out.push(*transport);
        for block in [identity.as_bytes(), address.to_string().as_bytes(), link] {
            out.extend((block.len() as u16).to_be_bytes());
            out.extend(block);
        }
    }
    out
}

fn decode(entry: &[u8]) -> Option<(SessionId, Option<SavedSession>)> {
    let (id, rest) = entry.split_first_chunk()?;
    let id = SessionId(u64::from_be_bytes(*id));
    let Some((transport, mut rest)) = rest.split_first() else { return Some((id, None)) };
    let mut block = || {
        let (len, after) = rest.split_first_chunk()?;
        let (block, after) = after.split_at_checked(u16::from_be_bytes(*len).into())?;
        rest = after;
        Some(block)
    };
    let identity = Identity::new(block()?).ok()?;
    let address = str::from_utf8(block()?).ok()?.parse().ok()?;
    let link = block()?.to_vec();
    Some((id, Some(SavedSession { identity, address, transport: *transport, link })))
}

/// Why a state file is of no use.
#[derive(Debug)]
pub struct StateFileError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Io(io::Error),
    NoFile,
    TooLong,
    InUse,
    OtherFile,
    OtherKey,
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for StateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "state file {}: ", self.path.display())?;
        match &self.problem {
            Problem::Io(error) => fmt::Display::fmt(error, f),
            Problem::NoFile => f.write_str("not a file"),
            Problem::TooLong => f.write_str("too long to hold sessions"),
            Problem::InUse => f.write_str("another host is using it: give each host its own"),
            Problem::OtherFile => f.write_str("it is something else: name another, or a new one"),
            Problem::OtherKey => f.write_str(
                "it was written with another host key: use that key, or remove the file",
            ),
        }
    }
}

impl Error for StateFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::Io(error) => Some(error),
            _ => None,
        }
    }
}
