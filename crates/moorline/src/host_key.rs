//! The key by which clients know their host, in files.
//!
//! A host keeps its key in a file that nobody else can read, and writes the public key beside it,
//! for whoever sets up clients. Both are one line of text.

use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use moorline_proto::crypto::{HostKey, HostPublicKey};
use moorline_proto::crypto::{HostKeyError, Secret};

use crate::clock::{random_bytes, random_seed};

/// No key's file is longer, in bytes.
const FILE_LEN_MAX: u64 = 1_024;

/// A new key, for a host that needs none to be known by later.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn generate() -> io::Result<HostKey> {
    Ok(HostKey::new(Secret::new(random_bytes()?)))
}

/// The key in the file at `path`. If there is no such file, a new key is made and written there,
/// readable by its owner alone. The public key is written to the same path with `.pub` after it.
///
/// # Errors
/// When the file is not a host's key, others may read it, or it cannot be read or written.
pub fn load_or_create(path: &Path) -> Result<HostKey, KeyFileError> {
    let failed = |problem| KeyFileError { path: path.to_owned(), problem };
    let key = match load(path) {
        Err(Problem::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            match create(path) {
                // Another process was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(path),
                made => made.map_err(Problem::Io),
            }
        }
        loaded => loaded,
    };
    let key = key.map_err(failed)?;
    let public_path = public_path(path);
    write_public(&public_path, &key)
        .map_err(|error| KeyFileError { path: public_path, problem: Problem::Io(error) })?;
    Ok(key)
}

/// The public key in the file at `path`.
///
/// # Errors
/// When the file is not a public key or cannot be read.
pub fn load_public(path: &Path) -> Result<HostPublicKey, KeyFileError> {
    let read = read(path).and_then(|text| text.parse().map_err(Problem::Text));
    read.map_err(|problem| KeyFileError { path: path.to_owned(), problem })
}

/// Where the public key of the key at `path` is written.
pub fn public_path(path: &Path) -> PathBuf {
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    public.into()
}

fn load(path: &Path) -> Result<HostKey, Problem> {
    let text = read(path)?;
    check_private(path)?;
    HostKey::from_secret_text(&text).map_err(Problem::Text)
}

fn read(path: &Path) -> Result<String, Problem> {
    let about = fs::metadata(path).map_err(Problem::Io)?;
    if !about.is_file() {
        return Err(Problem::NoFile);
    }
    if about.len() > FILE_LEN_MAX {
        return Err(Problem::TooLong);
    }
    fs::read_to_string(path).map_err(Problem::Io)
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(Problem::Io)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(Problem::Open { mode }) }
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> Result<(), Problem> {
    Ok(())
}

/// Makes a key and its file. The file appears whole or not at all, and replaces none.
fn create(path: &Path) -> io::Result<HostKey> {
    let key = generate()?;
    let draft = draft_path(path);
    let made = write_new(&draft, &key.to_secret_text(), Readers::Owner)
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft).ok();
    made?;
    Ok(key)
}

fn write_public(path: &Path, key: &HostKey) -> io::Result<()> {
    let text = key.public().to_string();
    if fs::read_to_string(path).is_ok_and(|before| before.trim() == text) {
        return Ok(());
    }
    let draft = draft_path(path);
    let made = write_new(&draft, &text, Readers::Everyone).and_then(|()| fs::rename(&draft, path));
    if made.is_err() {
        fs::remove_file(&draft).ok();
    }
    made
}

/// Where a file is written before it has its name.
pub(crate) fn draft_path(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{:x}.tmp", random_seed()));
    draft.into()
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    Owner,
    Everyone,
}

fn write_new(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    let mut file = open_new(path, readers)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(unix)]
pub(crate) fn open_new(path: &Path, readers: Readers) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(not(unix))]
pub(crate) fn open_new(path: &Path, _: Readers) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Why a key's file is of no use.
#[derive(Debug)]
pub struct KeyFileError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Io(io::Error),
    NoFile,
    TooLong,
    /// Others may read it.
    #[cfg_attr(not(unix), expect(dead_code, reason = "files have no mode here"))]
    Open {
        mode: u32,
    },
    Text(HostKeyError),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Io(error) => write!(f, "key file {path}: {error}"),
            Problem::NoFile => write!(f, "key file {path}: not a file"),
            Problem::TooLong => write!(f, "key file {path}: too long to be a key"),
            Problem::Open { mode } => {
                write!(f, "key file {path}: others may read it (mode {mode:o}): chmod 600 it")
            }
            Problem::Text(error) => write!(f, "key file {path}: {error}"),
        }
    }
}

impl Error for KeyFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::Io(error) => Some(error),
            Problem::Text(error) => Some(error),
            Problem::NoFile | Problem::TooLong | Problem::Open { .. } => None,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("moorline-key-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_its_public_key_written_beside_it() {
        let folder = Folder::new("made");
        let path = folder.0.join("host.key");
        let key = load_or_create(&path).expect("a key");
        assert_eq!(mode(&path), 0o600);
        let again = load_or_create(&path).expect("the same key");
        assert_eq!(again.public(), key.public());
        let public_path = public_path(&path);
        assert_eq!(load_public(&public_path).expect("a public key"), key.public());
        fs::write(&public_path, "something else").expect("it can be written");
        load_or_create(&path).expect("a key");
        assert_eq!(load_public(&public_path).expect("a public key"), key.public());
        assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 2, "no drafts are left");
    }

    #[test]
    fn hosts_that_start_at_once_have_one_key() {
        let folder = Folder::new("at-once");
        let path = folder.0.join("host.key");
        let start = || {
            let path = path.clone();
            std::thread::spawn(move || load_or_create(&path).map(|key| key.public()))
        };
        let threads: Vec<_> = (0..8).map(|_| start()).collect();
        let there = load_or_create(&path).expect("a key").public();
        for thread in threads {
            assert_eq!(thread.join().expect("it ends").expect("a key"), there);
        }
    }

    #[test]
    fn a_file_that_is_of_no_use_is_told_in_words() {
        let folder = Folder::new("no-use");
        let told = |path: &Path| load_or_create(path).expect_err("of no use").to_string();
        assert!(told(&folder.0).contains("not a file"));
        assert!(told(&folder.0.join("none/host.key")).contains("No such file"));
        let path = folder.0.join("host.key");
        let write = |text: &str, mode| {
            fs::write(&path, text).expect("it can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        };
        write("", 0o600);
        assert!(told(&path).contains("begins with mls1"), "{}", told(&path));
        write(&"x".repeat(2_000), 0o600);
        assert!(told(&path).contains("too long"));
        let key = generate().expect("randomness");
        write(&key.to_secret_text(), 0o644);
        assert!(told(&path).contains("chmod 600"), "{}", told(&path));
        write(&key.to_secret_text(), 0o600);
        assert_eq!(load_or_create(&path).expect("a key").public(), key.public());
        let secret = load_public(&path).expect_err("it is the secret one").to_string();
        assert!(secret.contains("begins with mlk1"), "{secret}");
    }
}
