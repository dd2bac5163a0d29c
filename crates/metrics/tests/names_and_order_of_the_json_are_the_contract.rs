//! The names of the JSON and their order.

mod common;

use std::fmt;

use moorline_metrics::Report;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

const REPORT: &str = "RunId, TransportName, Mode, DefaultRemoteEndPoint, StartedAtUtc, \
    CompletedAtUtc, DurationMs, ReportPath, SummaryPath, ReadableSummary, ActiveSessions, \
    PeakActiveSessions, SessionsCreated, SessionsClosed, PayloadMessagesSent, PayloadBytesSent, \
    PayloadMessagesReceived, PayloadBytesReceived, DatagramsSent, DatagramBytesSent, \
    DatagramsReceived, DatagramBytesReceived, SendErrors, ReceiveErrors, OtherErrors, \
    SessionsWithDiagnostics, AverageSmoothedRttMs, PeakSmoothedRttMs, \
    AverageRetransmissionTimeoutMs, PeakRetransmissionTimeoutMs, TotalWaitSendCount, \
    PeakWaitSendCount, TotalSendQueueCount, TotalSendBufferCount, TotalReceiveQueueCount, \
    TotalReceiveBufferCount, TotalRetransmittedSegmentsInFlight, \
    PeakRetransmittedSegmentsInFlight, TotalObservedRetransmissionSends, \
    TotalObservedLossSignals, SessionStateCounts, ApplicationSessionsTracked, \
    ApplicationSessionStateCounts, ApplicationSessionSummaries, ErrorCountsByStage, \
    PeerSummaries";
const REPORT_ADDED: &str = "SchemaVersion, ObservedAtUtc, DiagnosisPath, Counters";
const SUMMARY: &str = "Headline, SessionSummary, TrafficSummary, ErrorSummary, LifecycleSummary, \
    HealthSummary, TopPeerHighlights";
const SESSION: &str = "Scope, RemoteEndPoint, ConnectionState, CanSendHeartbeat, \
    LastRoundTripTimeMs, LastFailureReason, LastLivenessUtc, LastHeartbeatSentUtc, \
    NextReconnectAtUtc, CurrentServerTick, ObservedAtUtc";
const SESSION_ADDED: &str = "SessionId, Identity, PayloadMessagesSent, PayloadBytesSent, \
    PayloadMessagesReceived, PayloadBytesReceived, SessionDiagnostics";
const PEER: &str = "RemoteEndPoint, FirstSeenUtc, LastActivityUtc, SessionOpens, SessionCloses, \
    PayloadMessagesSent, PayloadBytesSent, PayloadMessagesReceived, PayloadBytesReceived, \
    DatagramsSent, DatagramBytesSent, DatagramsReceived, DatagramBytesReceived, \
    SessionLifecycleState, SessionDiagnostics, PeakSmoothedRttMs, PeakRetransmissionTimeoutMs, \
    PeakWaitSendCount, PeakRetransmittedSegmentsInFlight, ErrorCountsByStage";
const STATES: &str = "Disconnected, TransportConnected, LoginPending, LoggedIn, LoginFailed, \
    TimedOut, ReconnectPending, Reconnecting";
const LINK: &str = "SmoothedRttMs, RetransmissionTimeoutMs, WaitSendCount, SendQueueCount, \
    SendBufferCount, ReceiveQueueCount, ReceiveBufferCount, RetransmittedSegmentsInFlight, \
    ObservedRetransmissionSends, ObservedLossSignals";

#[test]
fn every_object_has_its_names_in_the_order_of_the_contract() {
    let json = serde_json::to_string(&Report::new(&common::full_run())).expect("a report");
    let report: Tree = serde_json::from_str(&json).expect("json");
    assert_eq!(report.names(), format!("{REPORT}, {REPORT_ADDED}"));
    assert_eq!(report.at("ReadableSummary").names(), SUMMARY);
    assert_eq!(report.at("SessionStateCounts").names(), STATES);
    assert_eq!(report.at("ApplicationSessionStateCounts").names(), STATES);
    let session = report.at("ApplicationSessionSummaries").first();
    assert_eq!(session.names(), format!("{SESSION}, {SESSION_ADDED}"));
    assert_eq!(session.at("SessionDiagnostics").names(), LINK);
    let peer = report.at("PeerSummaries").first();
    assert_eq!(peer.names(), PEER);
    assert_eq!(peer.at("SessionDiagnostics").names(), LINK);
    assert_eq!(peer.at("ErrorCountsByStage").names(), "send");
}

#[test]
fn what_is_not_known_is_null_and_no_name_is_left_out() {
    let run = common::empty_run();
    let json = serde_json::to_string(&Report::new(&run)).expect("a report");
    let report: Tree = serde_json::from_str(&json).expect("json");
    assert_eq!(report.names(), format!("{REPORT}, {REPORT_ADDED}"));
    assert!(json.contains(r#""CompletedAtUtc":null,"DurationMs":60000"#), "{json}");
    assert!(json.contains(r#""AverageSmoothedRttMs":null"#), "{json}");
}

#[test]
fn times_are_iso_8601_and_durations_are_milliseconds() {
    let json = serde_json::to_string(&Report::new(&common::full_run())).expect("a report");
    for part in [
        r#""StartedAtUtc":"2023-11-14T22:13:20.000Z","CompletedAtUtc":"2023-11-14T22:14:21.000Z""#,
        r#""DurationMs":61000"#,
        r#""LastRoundTripTimeMs":20.125"#,
        r#""SchemaVersion":1"#,
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
}

/// JSON that keeps the order of its names.
#[derive(Debug)]
enum Tree {
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
    Plain,
}

impl Tree {
    fn names(&self) -> String {
        let Self::Object(fields) = self else { panic!("no object: {self:?}") };
        fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn at(&self, name: &str) -> &Self {
        let Self::Object(fields) = self else { panic!("no object: {self:?}") };
        &fields.iter().find(|(found, _)| found == name).expect("the name").1
    }

    fn first(&self) -> &Self {
        let Self::Array(elements) = self else { panic!("no array: {self:?}") };
        elements.first().expect("an element")
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Object(fields))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Tree::Array(elements))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Plain)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Plain)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Plain)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Plain)
    }
    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Plain)
    }
    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Plain)
    }
}
