//! A report file back into a report.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::report::Report;
use crate::text::Shown;

/// The longest file that is read, in bytes: a report of a hundred thousand sessions fits.
pub const REPORT_LEN_MAX: u64 = 256 * 1024 * 1024;

impl Report {
    /// Reads what a [`ReportWriter`](crate::ReportWriter) wrote.
    ///
    /// # Errors
    /// When there is no such file, or it is no report that this version reads.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let fail = |problem| ReadError { path: path.to_owned(), problem };
        Self::parse(&load(path).map_err(fail)?).map_err(fail)
    }

    /// Reads a report from the JSON that is in such a file.
    ///
    /// # Errors
    /// When it is no report that this version reads.
    pub fn parse(json: &[u8]) -> Result<Self, ReadProblem> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| ReadProblem::NotJson { line: error.line(), column: error.column() })?;
        let not_a_report = |why: &str| ReadProblem::NotAReport { why: why.to_owned() };
        let version = value.get("SchemaVersion");
        let version = version.ok_or_else(|| not_a_report("it has no SchemaVersion"))?;
        let version = version.as_u64();
        let version = version.ok_or_else(|| not_a_report("its SchemaVersion is no number"))?;
        if version != Self::SCHEMA_VERSION {
            return Err(ReadProblem::OtherVersion { version });
        }
        serde_json::from_value(value).map_err(|error| not_a_report(&error.to_string()))
    }
}

fn load(path: &Path) -> Result<Vec<u8>, ReadProblem> {
    let mut json = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(REPORT_LEN_MAX + 1).read_to_end(&mut json));
    match read {
        Ok(_) if json.len() as u64 > REPORT_LEN_MAX => Err(ReadProblem::TooLong),
        Ok(_) => Ok(json),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReadProblem::NotThere),
        Err(error) => Err(ReadProblem::Unreadable { message: error.to_string() }),
    }
}

/// Why there is no report in a file; on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: ReadProblem,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Shown(&self.path.to_string_lossy()), self.problem)
    }
}

impl Error for ReadError {}

/// What is wrong with a file that should be a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadProblem {
    /// There is no such file.
    NotThere,
    /// The operating system does not give it out.
    Unreadable {
        /// What it says.
        message: String,
    },
    /// It is longer than [`REPORT_LEN_MAX`].
    TooLong,
    /// It is not JSON.
    NotJson {
        /// The line where that shows, from one.
        line: usize,
        /// The column there, from one.
        column: usize,
    },
    /// It is JSON, and something else than a report.
    NotAReport {
        /// How that shows.
        why: String,
    },
    /// Another version of Moorline wrote it.
    OtherVersion {
        /// Its schema version.
        version: u64,
    },
}

impl fmt::Display for ReadProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => f.write_str("there is no such file"),
            Self::Unreadable { message } => write!(f, "cannot be read: {}", Shown(message)),
            Self::TooLong => write!(f, "longer than {REPORT_LEN_MAX} bytes, so not a report"),
            Self::NotJson { line, column } => {
                write!(f, "not JSON, see line {line}, column {column}")
            }
            Self::NotAReport { why } => write!(f, "not a run report: {}", Shown(why)),
            Self::OtherVersion { version } => write!(
                f,
                "a run report of schema version {version}, this program reads version {}",
                Report::SCHEMA_VERSION
            ),
        }
    }
}

impl Error for ReadProblem {}
