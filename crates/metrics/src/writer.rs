//! The files of a run, written once when it ends.

use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::console;
use crate::diagnosis::Diagnosis;
use crate::report::Report;
use crate::snapshot::RunSnapshot;
use crate::text::Shown;

/// What is to come out of a run, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportOptions {
    /// The report as JSON, in `run-<id>.json`. Default: on.
    pub json: bool,
    /// The readable summary, in `run-<id>.summary.txt`. Default: on.
    pub summary: bool,
    /// The diagnosis, in `run-<id>.diagnosis.txt`. Default: on.
    pub diagnosis: bool,
    /// The console block, given back to be printed. Default: on.
    pub console: bool,
    /// Where the files go; made if it is not there. The paths in the report begin with it, so give
    /// an absolute one if the report is to be read from elsewhere. Default: `reports`.
    pub directory: PathBuf,
}

impl ReportOptions {
    /// Every switch off.
    pub const NOTHING: Self = Self {
        json: false,
        summary: false,
        diagnosis: false,
        console: false,
        directory: PathBuf::new(),
    };
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            json: true,
            summary: true,
            diagnosis: true,
            console: true,
            directory: PathBuf::from("reports"),
        }
    }
}

/// Writes the report of one run. A run is start to stop, so each start wants its own writer.
#[derive(Debug)]
pub struct ReportWriter {
    options: ReportOptions,
    finished: Option<Finished>,
}

/// What came out of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// The report, if it was written.
    pub report_path: Option<PathBuf>,
    /// The readable summary, if it was written.
    pub summary_path: Option<PathBuf>,
    /// The diagnosis, if it was written.
    pub diagnosis_path: Option<PathBuf>,
    /// The console block, if it was asked for: printing is the caller's.
    pub console: Option<String>,
    /// What could not be written. Nothing else is the worse for it.
    pub errors: Vec<WriteError>,
}

impl ReportWriter {
    /// A writer for a run that began.
    pub const fn new(options: ReportOptions) -> Self {
        Self { options, finished: None }
    }

    /// Writes what is switched on; the run counts as completed from here on. Called again, it does
    /// nothing and gives back what came out of the first call.
    pub fn finish(&mut self, run: &RunSnapshot) -> &Finished {
        self.finished.get_or_insert_with(|| finish(&self.options, run))
    }

    /// What came out of the run, if it is finished.
    pub const fn finished(&self) -> Option<&Finished> {
        self.finished.as_ref()
    }
}

/// Why a file was not written; on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    /// The file, or the directory that could not be made.
    pub path: PathBuf,
    /// The sort of failure.
    pub kind: io::ErrorKind,
    /// What the operating system says.
    pub message: String,
}

impl WriteError {
    fn new(path: &Path, error: &io::Error) -> Self {
        Self { path: path.to_owned(), kind: error.kind(), message: error.to_string() }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        write!(f, "could not write {}: {}", Shown(&path), Shown(&self.message))
    }
}

impl Error for WriteError {}

fn finish(options: &ReportOptions, run: &RunSnapshot) -> Finished {
    let mut run = run.clone();
    run.completed_at.get_or_insert(run.observed_at);
    let mut report = Report::new(&run);
    let mut finished = Finished::default();
    if options.json || options.summary || options.diagnosis {
        match fs::create_dir_all(&options.directory) {
            Ok(()) => write_files(options, &mut report, &mut finished),
            Err(error) => finished.errors.push(WriteError::new(&options.directory, &error)),
        }
    }
    finished.console = options.console.then(|| console::block(&report));
    finished
}

/// Writes the report last, so that the paths in it are those of files that are there.
fn write_files(options: &ReportOptions, report: &mut Report, finished: &mut Finished) {
    let stem = stem(&report.run_id);
    let path = |suffix| options.directory.join(format!("{stem}.{suffix}"));
    let mut write = |path: PathBuf, text: &str| match replace(&path, text.as_bytes()) {
        Ok(()) => Some(path),
        Err(error) => {
            finished.errors.push(WriteError::new(&path, &error));
            None
        }
    };
    if options.summary {
        finished.summary_path = write(path("summary.txt"), &report.readable_summary.to_string());
    }
    if options.diagnosis {
        finished.diagnosis_path = write(path("diagnosis.txt"), &Diagnosis::of(report).to_string());
    }
    report.summary_path = shown(finished.summary_path.as_deref());
    report.diagnosis_path = shown(finished.diagnosis_path.as_deref());
    if options.json {
        let path = path("json");
        report.report_path = shown(Some(&path));
        finished.report_path = match serde_json::to_string_pretty(report) {
            Ok(json) => write(path, &(json + "\n")),
            Err(error) => {
                finished.errors.push(WriteError::new(&path, &error.into()));
                None
            }
        };
        report.report_path = shown(finished.report_path.as_deref());
    }
}

fn shown(path: Option<&Path>) -> Option<String> {
    path.map(|path| path.to_string_lossy().into_owned())
}

/// A file name from a run's name, whatever is in it. The prefix keeps it from being hidden, or one
/// of the names that Windows reserves.
fn stem(run_id: &str) -> String {
    const CHARS_MAX: usize = 100;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain = run_id.chars().take(CHARS_MAX).map(|c| if is_plain(c) { c } else { '_' });
    format!("run-{}", plain.collect::<String>())
}

/// Writes beside the file and renames, so that nobody ever reads half a report.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let written = create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        // Without it, a power cut after the renaming may leave an empty file.
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    renamed
}

/// Opens a file that is not there, so that a link which somebody put in its place is not followed.
/// A run that was cut off may have left one; that is removed.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        opened => opened,
    }
}
