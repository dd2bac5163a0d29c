//! The end of a run: the faults are over, everything heals, and everything is closed.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use moorline_link::{Identity, Port, Transport};
use moorline_session::{Session, State};

use super::World;
use crate::fault::{Answers, calm};
use crate::oracle::ledger::EpochId;
use crate::oracle::{Oracle, Verdict, holds};
use crate::record::{Checked, under};
use crate::setup::name;

/// Within this time after the last fault all is well, and then stays so: a session may be kept for
/// 30 s, and its user may have been told to stay away for as long, and then waits for at most 15 s.
const HEALING_TIME_MAX: Duration = Duration::from_secs(120);
/// How often it is looked at whether all is well.
const LOOK_GAP: Duration = Duration::from_millis(250);
/// For how long it must stay so; longer than any silence is borne.
const QUIET_TIME: Duration = Duration::from_secs(15);
/// How long it takes at most until all has arrived that was sent: what vanished often (on a path
/// that took no long datagrams, say) is repeated at ever longer intervals, with KCP up to a minute.
const REPEAT_TIME_MAX: Duration = Duration::from_secs(130);
/// How long what is sent now takes at most on a calm path.
const ARRIVAL_TIME: Duration = Duration::from_secs(3);
/// After this time nothing waits for anything any more.
const LINGER_TIME_MAX: Duration = Duration::from_secs(60);

impl World<'_, '_> {
    /// Ends all faults; says how long it took until everyone was in again.
    pub(super) fn heal(&mut self) -> Checked<Duration> {
        let began = self.now;
        self.end_faults();
        let healing = loop {
            self.drive(self.now + LOOK_GAP)?;
            let healing = self.now.since(began);
            let mut agreement = self.check_agreement();
            if agreement.is_ok() {
                // Some links may still have to find out that they are dead.
                let epochs = self.epochs(0..self.wanting);
                self.drive(self.now + QUIET_TIME)?;
                agreement = self.check_agreement();
                if agreement.is_ok() && epochs == self.epochs(0..self.wanting) {
                    break healing;
                }
            }
            if self.now.since(began) > HEALING_TIME_MAX {
                under(Oracle::Healing, agreement)?;
            }
        };
        self.host.fall_silent();
        self.clients.iter_mut().for_each(|client| client.fall_silent());
        let silent = self.now;
        loop {
            self.drive(self.now + ARRIVAL_TIME)?;
            let complete = self.record.ledger.check_open();
            if complete.is_ok() {
                break;
            }
            if self.now.since(silent) > REPEAT_TIME_MAX {
                under(Oracle::Delivery, complete)?;
            }
        }
        let agreement = self.check_agreement();
        under(Oracle::Healing, agreement)?;
        Ok(healing)
    }

    fn end_faults(&mut self) {
        let now = self.now;
        for client in 0..self.clients.len() {
            self.tell_fired(client);
            for way in &mut self.ways[client] {
                way.set_weather(calm());
                way.set_cut(false);
            }
            if client >= self.wanting {
                self.kill_client(client, None);
                continue;
            }
            self.clients[client].calm_down(now);
            self.plan_client(client);
        }
        let host = &mut self.host;
        host.asleep_until = host.asleep_until.min(now);
        host.slow_until = host.slow_until.min(now);
        host.up_at = host.up_at.map(|at| at.min(now));
        host.answers = Answers::default();
        self.plan_host();
    }

    /// Whether exactly those who want in are in, and both sides see it so.
    fn check_agreement(&self) -> Verdict {
        for client in &self.clients[..self.wanting] {
            let (user, state) = (client.user, client.state());
            holds(state == State::LoggedIn, || format!("user {user} is {state}"))?;
            self.check_known(user, client.at(Port(0)))?;
        }
        let there = self.host.process.as_ref().map_or(0, |host| host.sessions().len());
        let wanting = self.wanting;
        holds(there == wanting, || format!("{there} sessions of {wanting} users"))
    }

    fn check_known(&self, user: usize, at: SocketAddr) -> Verdict {
        let host = self.host.process.as_ref().ok_or("the host is not running")?;
        let identity = Identity::new(name(user)).map_err(|error| error.to_string())?;
        let theirs: Vec<&Session> = host.sessions().by_identity(&identity).collect();
        let is_known = match theirs.as_slice() {
            [one] => one.state() == State::LoggedIn && one.address() == Some(at),
            _ => false,
        };
        holds(is_known, || format!("user {user} at {at} has {theirs:?}"))
    }

    /// The logins of these clients.
    fn epochs(&self, clients: Range<usize>) -> Vec<EpochId> {
        self.clients[clients].iter().filter_map(|client| client.epoch).collect()
    }

    /// Half of the users leave, then the host stops; last words arrive, and nothing is left.
    pub(super) fn close(&mut self) -> Checked {
        let now = self.now;
        let leaving = self.wanting / 2;
        let said = self.epochs(0..leaving);
        for client in 0..leaving {
            self.clients[client].say(now, &mut self.record);
            self.clients[client].leave(now, None);
            self.client_round(client)?;
        }
        self.drive(self.now + ARRIVAL_TIME)?;
        said.iter().try_for_each(|epoch| {
            under(Oracle::Delivery, self.record.ledger.check_complete(*epoch))
        })?;

        let said: Vec<_> = self.host.users.values().copied().collect();
        for client in leaving..self.wanting {
            self.clients[client].wants = false;
        }
        self.host.say_all(self.now, &mut self.record)?;
        self.stop_host()?;
        self.plan_host();
        self.drive(self.now + ARRIVAL_TIME)?;
        said.iter().try_for_each(|epoch| {
            under(Oracle::Delivery, self.record.ledger.check_complete(*epoch))
        })?;
        for client in leaving..self.wanting {
            self.clients[client].leave(self.now, None);
            self.client_round(client)?;
        }
        self.drive(self.now + LINGER_TIME_MAX)?;
        let emptiness = self.check_empty();
        under(Oracle::Emptiness, emptiness)
    }

    fn check_empty(&self) -> Verdict {
        for client in &self.clients[..self.wanting] {
            let (user, state) = (client.user, client.state());
            holds(state == State::Disconnected, || format!("user {user} is {state}"))?;
            let next = client.process.as_ref().and_then(|dialer| dialer.poll_timeout());
            holds(next.is_none(), || format!("user {user} waits for {next:?}"))?;
            let link = client.process.as_ref().and_then(|dialer| dialer.session().link());
            holds(link.is_none(), || format!("user {user} has {link:?}"))?;
        }
        let host = self.host.process.as_ref().ok_or("the host is not running")?;
        let (len, next) = (host.sessions().len(), host.poll_timeout());
        holds(len == 0, || format!("{len} sessions are left"))?;
        holds(next.is_none(), || format!("the host waits for {next:?}"))?;
        let links = self.host.links.iter();
        let left = links.filter(|link| host.transports()[0].stats(**link).is_some()).count();
        // That of the loss that was told of last may be asked for still.
        holds(left <= 1, || format!("{left} links are left"))
    }
}
