//! A host, its clients, strangers and the network between them, on virtual time.
//!
//! Nobody looks at a clock: the agenda wakes each process when something arrives for it, when its
//! `poll_timeout` says so, or when its application wants to act, and each then does one round of
//! the drain rule of [`moorline_link::transport`].

mod acts;
mod agenda;
mod client;
mod finish;
mod host;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use moorline_link::{Origin, Port, Time, Transmit};

use self::agenda::{Actor, Agenda};
use self::client::ClientSide;
use self::host::HostSide;
use self::wire::{Arrived, Way};
use crate::carrier::{Carrier, Endpoint};
use crate::dice::Dice;
use crate::fault::{Fault, Schedule};
use crate::keys::KeyRing;
use crate::oracle::{Oracle, Violation};
use crate::record::{Broken, Checked, Record};
use crate::setup::Setup;

/// What one moment can be about at most, for each process.
const ROUNDS_AT_ONCE_MAX: u32 = 10_000;
/// The ports of clients begin here.
const PORT_FIRST: u16 = 10_000;
/// The datagrams that strangers remember.
const OVERHEARD_MAX: usize = 256;

/// One run.
#[derive(Debug)]
pub(crate) struct World<'a, 't> {
    pub(crate) now: Time,
    pub(crate) record: Record<'t>,
    carrier: &'a dyn Carrier,
    agenda: Agenda,
    schedule: Schedule,
    calm_from: Time,
    host: HostSide<'a>,
    clients: Vec<ClientSide<'a>>,
    /// How many of the clients want in; the others only take their names at times.
    wanting: usize,
    /// For each client, the way to the host and back.
    ways: Vec<[Way; 2]>,
    /// Whose an address is, and which of its ports.
    addresses: BTreeMap<SocketAddr, (usize, Port)>,
    port_next: u16,
    /// What strangers remember of what went to the host.
    overheard: VecDeque<(Port, Vec<u8>)>,
    dice: Dice,
    rounds_at_once: u32,
}

impl<'a, 't> World<'a, 't> {
    pub(crate) fn new(
        carrier: &'a dyn Carrier,
        setup: Setup,
        dice: &mut Dice,
        record: Record<'t>,
    ) -> Self {
        let Setup { schedule, begin, calm_from, wanting, send_gap, .. } = setup;
        let limits = &setup.host.limits;
        let keys = KeyRing::default();
        let endpoint = |seed| Endpoint {
            seed,
            keys: keys.clone(),
            sync_port: setup.sync_port,
            links_max: limits.sessions_max + 8,
            links_per_address_max: limits.sessions_per_address_max + 4,
            keep_bytes_max: if setup.faults.has(Fault::TightLimits) { 2_000 } else { 1 << 26 },
        };
        let host = HostSide::new(carrier, endpoint(dice.seed()), setup.host.clone(), send_gap);
        let clients: Vec<_> = setup
            .clients
            .into_iter()
            .enumerate()
            .map(|start| {
                ClientSide::new(carrier, endpoint(dice.seed()), start, host.at[0], send_gap)
            })
            .collect();
        let mut world = Self {
            now: begin,
            record,
            carrier,
            agenda: Agenda::default(),
            schedule,
            calm_from,
            host,
            ways: clients.iter().map(|_| [Way::new(dice.seed()), Way::new(dice.seed())]).collect(),
            clients,
            wanting,
            addresses: BTreeMap::new(),
            port_next: PORT_FIRST,
            overheard: VecDeque::new(),
            dice: Dice::new(dice.seed()),
            rounds_at_once: 0,
        };
        if setup.faults.has(Fault::SharedAddress) && wanting > 1 {
            world.record.fire(Fault::SharedAddress);
        }
        if setup.faults.has(Fault::TightLimits) {
            world.record.fire(Fault::TightLimits);
        }
        world.host.start(begin);
        world.agenda.set(Actor::Host, Some(begin));
        world.agenda.set(Actor::Schedule, world.schedule.next());
        for client in 0..wanting {
            world.give_ports(client);
            let begins = begin + world.dice.millis(0, 2_000);
            world.clients[client].up_at = Some(begins);
            world.agenda.set(Actor::Client(client), Some(begins));
        }
        world
    }

    /// The whole run: trouble, healing, and the end of everything. Says how long healing took.
    ///
    /// # Errors
    /// The first rule that was broken.
    pub(crate) fn run(&mut self) -> Result<Duration, Violation> {
        let run = self.drive(self.calm_from).and_then(|()| {
            let healing = self.heal()?;
            self.close()?;
            Ok(healing)
        });
        run.map_err(|Broken(oracle, what)| Violation { oracle, at: self.now, what })
    }

    /// The most that any stranger got for what it sent, in thousandths.
    pub(crate) const fn amplification_permille(&self) -> u64 {
        self.host.balance.worst_permille
    }

    /// How many encrypted packets were looked into.
    pub(crate) fn nonces(&self) -> u64 {
        self.host.nonces()
    }

    /// Goes on until `until`.
    fn drive(&mut self, until: Time) -> Checked {
        while let Some((at, actor)) = self.agenda.pop(until) {
            self.rounds_at_once = if at > self.now { 0 } else { self.rounds_at_once + 1 };
            if self.rounds_at_once > ROUNDS_AT_ONCE_MAX {
                return Err(Broken(Oracle::Progress, format!("{actor:?} is due without end")));
            }
            self.now = self.now.max(at);
            match actor {
                Actor::Schedule => self.act()?,
                Actor::Up(client) => self.arrive_up(client),
                Actor::Down(client) => self.arrive_down(client)?,
                Actor::Host => self.host_round()?,
                Actor::Client(client) => self.client_round(client)?,
            }
        }
        self.now = self.now.max(until);
        Ok(())
    }

    fn host_round(&mut self) -> Checked {
        let now = self.now;
        if self.host.process.is_none() && self.host.up_at.is_some_and(|at| at <= now) {
            self.host.start(now);
            self.record.note(now, format_args!("the host starts"));
        }
        let Self { host, ways, addresses, agenda, record, .. } = self;
        let at = host.at;
        host.round(now, record, &mut |record, sent, bytes| {
            post(now, record, (ways, addresses, agenda), (&at, sent), bytes);
        })?;
        self.plan_host();
        Ok(())
    }

    fn client_round(&mut self, client: usize) -> Checked {
        let now = self.now;
        let own = &mut self.clients[client];
        if own.process.is_none() && own.up_at.is_some_and(|at| at <= now) {
            own.start(now);
            self.record.note(now, format_args!("client {client} starts"));
        }
        if own.round(now, &mut self.record)? {
            self.give_ports(client);
        }
        self.send_from(client);
        self.plan_client(client);
        Ok(())
    }

    /// Puts everything on its way that the client has to send.
    fn send_from(&mut self, client: usize) {
        let now = self.now;
        let mut datagram = Vec::new();
        while let Some(sent) = self.clients[client].transmit(now, &mut datagram) {
            let (from, to) = (self.clients[client].at(sent.port), sent.to);
            self.record.note_datagram(now, [from, to], &datagram);
            if let Some(number) = self.host.at.iter().position(|at| *at == to) {
                if self.overheard.len() >= OVERHEARD_MAX {
                    self.overheard.pop_front();
                }
                self.overheard.push_back((Port(number as u8), datagram.clone()));
                self.ways[client][0].send(now, from, sent, &datagram);
            }
        }
        self.agenda.set(Actor::Up(client), self.ways[client][0].next());
    }

    /// What arrives at the host, or is found damaged there.
    fn arrive_up(&mut self, client: usize) {
        let takes_damaged = self.carrier.promises().notices_damage;
        while let Some((label, ecn, bytes, is_whole)) = self.ways[client][0].receive(self.now) {
            let port = Port(u8::from(label.to != self.host.at[0]));
            let from = if is_whole || takes_damaged { label.from } else { stranger(client) };
            let origin = Origin { from, ecn };
            let arrived = Arrived { port, origin, bytes, is_copy: false };
            if is_whole {
                self.host.arrive(arrived);
            } else {
                self.host.arrive_from_stranger(arrived);
            }
        }
        self.agenda.set(Actor::Up(client), self.ways[client][0].next());
        self.plan_host();
    }

    fn arrive_down(&mut self, client: usize) -> Checked {
        let takes_damaged = self.carrier.promises().notices_damage;
        while let Some((label, ecn, bytes, is_whole)) = self.ways[client][1].receive(self.now) {
            let Some((owner, port)) = self.addresses.get(&label.to).copied() else { continue };
            let from = if is_whole || takes_damaged { label.from } else { stranger(client) };
            let origin = Origin { from, ecn };
            let arrived = Arrived { port, origin, bytes, is_copy: false };
            if is_whole {
                self.clients[owner].arrive(arrived);
            } else {
                self.clients[owner].hear_stranger(self.now, &arrived)?;
            }
            self.plan_client(owner);
        }
        self.agenda.set(Actor::Down(client), self.ways[client][1].next());
        Ok(())
    }

    fn plan_host(&mut self) {
        self.agenda.set(Actor::Host, self.host.next(self.now));
    }

    fn plan_client(&mut self, client: usize) {
        self.agenda.set(Actor::Client(client), self.clients[client].next(self.now));
    }

    /// The client is seen at new ports from now on, and no more at the old ones.
    fn give_ports(&mut self, client: usize) {
        self.addresses.retain(|_, (owner, _)| *owner != client);
        for lane in 0..2 {
            // In turn, so that none is given again while a host may still know it: KCP cannot tell
            // two peers apart that use one port and one conversation number.
            self.port_next = self.port_next.checked_add(1).unwrap_or(PORT_FIRST);
            let own = &mut self.clients[client];
            own.ports[lane] = self.port_next;
            self.addresses.insert(own.at(Port(lane as u8)), (client, Port(lane as u8)));
        }
    }
}

/// The parts of a world that a datagram of the host passes.
type Network<'w> = (&'w mut Vec<[Way; 2]>, &'w BTreeMap<SocketAddr, (usize, Port)>, &'w mut Agenda);

/// A datagram of the host leaves; to an address that nobody has, it is lost.
fn post(
    now: Time,
    record: &mut Record<'_>,
    (ways, addresses, agenda): Network<'_>,
    (at, sent): (&[SocketAddr], Transmit),
    bytes: &[u8],
) {
    let from = at[usize::from(sent.port.0)];
    record.note_datagram(now, [from, sent.to], bytes);
    if let Some((client, _)) = addresses.get(&sent.to) {
        let way = &mut ways[*client][1];
        way.send(now, from, sent, bytes);
        agenda.set(Actor::Down(*client), way.next());
    }
}

/// The address of one who is nobody.
fn stranger(number: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1 + (number % 5) as u8], 5_000 + (number % 50) as u16))
}
