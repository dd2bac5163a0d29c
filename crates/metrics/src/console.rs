//! The block that is printed at the end of a run.

use crate::diagnosis::Diagnosis;
use crate::report::Report;
use crate::text::Shown;

/// The block, with a line feed at its end. It names the files that the report knows of.
pub fn block(report: &Report) -> String {
    let summary = &report.readable_summary;
    let mut lines = vec![
        format!("== moorline: {}", Shown(&summary.headline)),
        format!("   sessions   {}", Shown(&summary.session_summary)),
        format!("   traffic    {}", Shown(&summary.traffic_summary)),
        format!("   errors     {}", Shown(&summary.error_summary)),
        format!("   lifecycle  {}", Shown(&summary.lifecycle_summary)),
        format!("   health     {}", Shown(&summary.health_summary)),
    ];
    let diagnosis = Diagnosis::of(report);
    for finding in diagnosis.findings {
        lines.push(format!("   finding    {}", finding.text));
        lines.push(format!("   advice     {}", finding.topic.advice()));
    }
    lines.extend(diagnosis.peers_busiest.iter().map(|peer| format!("   peer       {peer}")));
    for (title, path) in [
        ("report", &report.report_path),
        ("summary", &report.summary_path),
        ("diagnosis", &report.diagnosis_path),
    ] {
        lines.extend(path.as_ref().map(|path| format!("   {title:<10} {}", Shown(path))));
    }
    lines.push("==\n".to_owned());
    lines.join("\n")
}
