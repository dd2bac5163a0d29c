//! What the schedule says is done.

use moorline_link::{Ecn, Origin, Port, Time};
use moorline_session::State;

use super::agenda::Actor;
use super::wire::Arrived;
use super::{World, post, stranger};
use crate::fault::{Act, Fault, Who};
use crate::network::SPLICED_BYTES_MAX;
use crate::record::Checked;

impl World<'_, '_> {
    pub(super) fn act(&mut self) -> Checked {
        while self.schedule.next().is_some_and(|at| at <= self.now) {
            let Some(act) = self.schedule.pop() else { break };
            self.record.note(self.now, format_args!("act {act:?}"));
            self.do_act(act)?;
        }
        self.agenda.set(Actor::Schedule, self.schedule.next());
        Ok(())
    }

    fn do_act(&mut self, act: Act) -> Checked {
        let now = self.now;
        match act {
            Act::Weather { client, there_and_back } => {
                self.tell_fired(client);
                for (way, weather) in self.ways[client].iter_mut().zip(*there_and_back) {
                    way.set_weather(weather);
                }
            }
            Act::Cut { client, up, down } => {
                self.tell_fired(client);
                let [to_host, to_client] = &mut self.ways[client];
                to_host.set_cut(up);
                to_client.set_cut(down);
            }
            Act::Rebind { client } => {
                self.give_ports(client);
                if let Some(epoch) = self.clients[client].epoch {
                    self.record.ledger.on_moved(epoch);
                }
                self.fire(Fault::Rebinding, self.clients[client].process.is_some());
            }
            Act::KillHost { away } => self.end_host(Fault::HostKill, now + away)?,
            Act::StopHost { away } => self.end_host(Fault::HostStop, now + away)?,
            Act::KillClient { client, away, same_port } => {
                self.fire(Fault::ClientKill, self.clients[client].process.is_some());
                self.kill_client(client, Some(now + away));
                if !same_port {
                    self.give_ports(client);
                }
            }
            Act::Sleep { who, time } => self.sleep(who, now + time),
            Act::Slow { who, time } => {
                let until = match who {
                    Who::Host => &mut self.host.slow_until,
                    Who::Client(client) => &mut self.clients[client].slow_until,
                };
                *until = now + time;
                self.record.fire(Fault::SlowApplication);
            }
            Act::Answer(answers) => self.host.answers = answers,
            Act::Logout { client, away } => {
                let own = &mut self.clients[client];
                if own.asleep_until <= now {
                    let is_in = own.state() == State::LoggedIn;
                    own.leave(now, Some(now + away));
                    self.fire(Fault::Logout, is_in);
                    self.plan_client(client);
                }
            }
            Act::Evict { place } => {
                let is_awake = self.host.asleep_until.max(self.host.slow_until) <= now;
                let is_done = is_awake && self.host.evict(now, place);
                self.fire(Fault::Eviction, is_done);
                self.plan_host();
            }
            Act::AskLogin { place, within } => {
                let is_awake = self.host.asleep_until.max(self.host.slow_until) <= now;
                let is_done = is_awake && self.host.ask_login(now, place, within);
                self.fire(Fault::LoginAgain, is_done);
                self.plan_host();
            }
            Act::Duplicate { client, time } => self.duplicate(client, now + time),
            Act::Garbage { count } => self.disturb(Fault::Garbage, count)?,
            Act::Replay { count } => self.disturb(Fault::Replay, count)?,
        }
        Ok(())
    }

    fn fire(&mut self, fault: Fault, is_done: bool) {
        if is_done {
            self.record.fire(fault);
        }
    }

    pub(super) fn tell_fired(&mut self, client: usize) {
        let [up, down] = &mut self.ways[client];
        up.tell_fired(Fault::CutUp, &mut self.record.fired);
        down.tell_fired(Fault::CutDown, &mut self.record.fired);
    }

    fn end_host(&mut self, how: Fault, up_at: Time) -> Checked {
        if self.host.process.is_none() {
            return Ok(());
        }
        self.record.fire(how);
        if how == Fault::HostStop && self.host.asleep_until <= self.now {
            self.stop_host()?;
        }
        self.host.kill(&mut self.record);
        self.host.up_at = Some(up_at);
        self.plan_host();
        Ok(())
    }

    pub(super) fn stop_host(&mut self) -> Checked {
        let now = self.now;
        let Self { host, ways, addresses, agenda, record, .. } = self;
        let at = host.at;
        host.stop(now, record, &mut |record, sent, bytes| {
            post(now, record, (ways, addresses, agenda), (&at, sent), bytes);
        })
    }

    pub(super) fn kill_client(&mut self, client: usize, up_at: Option<Time>) {
        let own = &mut self.clients[client];
        own.kill(self.now, &mut self.record);
        own.up_at = up_at;
        self.plan_client(client);
    }

    fn sleep(&mut self, who: Who, until: Time) {
        match who {
            Who::Host if self.host.process.is_some() => {
                self.host.asleep_until = until;
                self.record.fire(Fault::HostSleep);
                self.plan_host();
            }
            Who::Client(client) if self.clients[client].process.is_some() => {
                self.clients[client].asleep_until = until;
                self.record.fire(Fault::ClientSleep);
                self.plan_client(client);
            }
            _ => {}
        }
    }

    /// One of the doubles takes the name of a client until then.
    fn duplicate(&mut self, client: usize, until: Time) {
        let free = (self.wanting..self.clients.len())
            .find(|double| self.clients[*double].process.is_none());
        let user = self.clients[client].user;
        if let Some(double) = free {
            let is_in = self.clients[client].state() == State::LoggedIn;
            self.fire(Fault::DuplicateLogin, is_in);
            self.give_ports(double);
            self.clients[double].take_name(user);
            self.clients[double].up_at = Some(self.now);
            self.clients[double].gone_at = Some(until);
            self.plan_client(double);
        }
    }

    /// Strangers send something to the host, and at times to a client.
    fn disturb(&mut self, fault: Fault, count: u64) -> Checked {
        for _ in 0..count {
            let Some((port, bytes)) = self.make_up(fault) else { return Ok(()) };
            // Whatever a stranger's mark says, it says nothing.
            let origin = Origin { from: stranger(self.dice.index(50)), ecn: Ecn::Congested };
            // What was changed may be as it was by chance.
            let is_copy = self.overheard.iter().any(|(_, heard)| *heard == bytes);
            self.record.fire(fault);
            if self.dice.permille(200) {
                let client = self.dice.index(self.clients.len());
                let arrived = Arrived { port: Port(0), origin, bytes, is_copy };
                if self.clients[client].asleep_until <= self.now {
                    self.clients[client].hear_stranger(self.now, &arrived)?;
                    self.plan_client(client);
                }
            } else {
                self.host.arrive_from_stranger(Arrived { port, origin, bytes, is_copy });
            }
        }
        self.agenda.hurry(Actor::Host, self.now.max(self.host.asleep_until));
        Ok(())
    }

    /// What a stranger sends: what it overheard, the same with faults, or anything.
    fn make_up(&mut self, fault: Fault) -> Option<(Port, Vec<u8>)> {
        let heard = self.overheard.len();
        let heard = (heard > 0).then(|| self.overheard[self.dice.index(heard)].clone());
        if fault == Fault::Replay {
            return heard;
        }
        let Some((port, mut bytes)) = heard.filter(|_| self.dice.permille(700)) else {
            let port = Port(self.dice.index(2) as u8);
            let most = self.dice.pick(&[8, 64, 1_500, SPLICED_BYTES_MAX as u64]);
            let len = self.dice.between(0, most) as usize;
            return Some((port, self.dice.bytes(len)));
        };
        for _ in 0..self.dice.between(1, 4) {
            if !bytes.is_empty() {
                let at = self.dice.index(bytes.len());
                bytes[at] = self.dice.seed() as u8;
            }
        }
        if self.dice.permille(300) {
            let len = self.dice.index(bytes.len() + 1);
            bytes.truncate(len);
        }
        Some((port, bytes))
    }
}
