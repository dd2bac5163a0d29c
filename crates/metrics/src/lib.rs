//! The run report of Moorline: what happened between start and stop, for machines and for people.
//!
//! The front door fills a [`RunSnapshot`]; everything here is made of it. A [`Report`] of the
//! moment can be had at any time. When the run ends, a [`ReportWriter`] writes the files once.
//! Neither reads a clock: wall time comes in with the snapshot. Only [`writer`] and [`read`] touch
//! files.
//!
//! The modules, each using only those before it:
//!
//! * [`snapshot`]: the plain data that the front door fills.
//! * [`ledger`]: what is remembered of each remote address, within a bound.
//! * [`report`]: the JSON document, field for field.
//! * `text`: how strings, amounts and times are written.
//! * [`diagnosis`]: how the run went, and what to do about it.
//! * [`summary`]: the same in sentences.
//! * `assemble`: from a snapshot to a report.
//! * [`console`]: the block that is printed at the end of a run.
//! * [`writer`]: the files.
//! * [`read`]: a report file back into a report.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use moorline_metrics::{Diagnosis, Report, ReportOptions, ReportWriter, RunSnapshot, Verdict};
//!
//! let started_at = SystemTime::UNIX_EPOCH;
//! let now = started_at + Duration::from_secs(90);
//! let mut run = RunSnapshot::new("example", "memory", "host", started_at, now);
//! run.payload_sent.add(120);
//!
//! let report = Report::new(&run);
//! assert_eq!(report.duration_ms, 90_000);
//! assert_eq!(Diagnosis::of(&report).verdict, Verdict::Stable);
//!
//! // At the end of the run; here nothing but the console block is switched on.
//! let mut writer = ReportWriter::new(ReportOptions { console: true, ..ReportOptions::NOTHING });
//! let finished = writer.finish(&run);
//! assert!(finished.errors.is_empty() && finished.console.is_some());
//! ```

pub mod snapshot;

pub mod ledger;

pub mod report;

mod text;

pub mod diagnosis;

pub mod summary;

mod assemble;

pub mod console;

pub mod writer;

pub mod read;

pub use diagnosis::{Diagnosis, Verdict};
pub use ledger::PeerLedger;
pub use read::{ReadError, ReadProblem};
pub use report::Report;
pub use snapshot::{PeerSnapshot, RunSnapshot, SessionSnapshot};
pub use writer::{Finished, ReportOptions, ReportWriter, WriteError};
