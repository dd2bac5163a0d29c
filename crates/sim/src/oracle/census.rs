//! A host's table against itself: counts, indexes and limits.

use std::collections::{BTreeMap, BTreeSet};

use moorline_link::Transport;
use moorline_session::{Host, Session, SessionId, State};

use super::{Verdict, holds};

/// Looks at every session: the cost is that of the table. Of those that `moved` since they came in,
/// any number may have ended up at one address: the limit is for who comes in there.
pub(crate) fn check<T: Transport>(host: &Host<T>, moved: &BTreeSet<SessionId>) -> Verdict {
    let (table, limits) = (host.sessions(), &host.config().limits);
    let counters = host.counters();
    let there = counters.sessions_created - counters.sessions_closed;
    holds(table.len() as u64 == there, || format!("{there} sessions by the counters"))?;
    holds(table.len() <= limits.sessions_max, || format!("{} sessions", table.len()))?;
    let (mut states, mut linked) = ([0; State::ALL.len()], BTreeMap::new());
    for session in table.iter() {
        states[session.state() as usize] += 1;
        check_one(host, session)?;
        if session.link().is_some()
            && !moved.contains(&session.id())
            && let Some(address) = session.address()
        {
            *linked.entry(address.ip()).or_insert(0) += 1;
        }
    }
    for state in State::ALL {
        let (counted, there) = (table.count(state), states[state as usize]);
        holds(counted == there, || format!("{there} sessions {state}, counted {counted}"))?;
    }
    let passing = table.count(State::Disconnected) + table.count(State::TimedOut);
    holds(passing == 0, || "a session rests in a state that it only passes".to_owned())?;
    let kept = table.count(State::ReconnectPending);
    holds(kept <= limits.kept_max, || format!("{kept} sessions are kept"))?;
    let most = linked.iter().max_by_key(|(_, count)| **count);
    // While events wait to be taken, some may have moved of whom nobody was told yet.
    let is_told = !host.has_events();
    let is_kept = most.is_none_or(|(_, count)| *count <= limits.sessions_per_address_max);
    holds(is_kept || !is_told, || format!("sessions of one address: {most:?}"))
}

fn check_one<T: Transport>(host: &Host<T>, session: &Session) -> Verdict {
    let table = host.sessions();
    let found = table.by_id(session.id()).map(Session::id);
    holds(found == Some(session.id()), || format!("not found by its id: {session:?}"))?;
    let is_connected = session.state().is_connected();
    holds(session.link().is_some() == is_connected, || format!("its link: {session:?}"))?;
    let address = session.address().ok_or_else(|| format!("no address: {session:?}"))?;
    if let Some(newest) = table.by_address(address) {
        let is_there = newest.address() == Some(address) && newest.link().is_some();
        holds(is_there, || format!("found by {address}: {newest:?}"))?;
    }
    let has_user = matches!(session.state(), State::LoggedIn | State::ReconnectPending);
    let is_known = session.identity().is_some_and(|user| {
        let mut theirs = table.by_identity(user);
        theirs.any(|other| other.id() == session.id())
    });
    holds(!has_user || is_known, || format!("not found by its user: {session:?}"))
}
