//! Endpoints that serve one address together, as one transport: what a host with several threads
//! has, on one.

use std::net::SocketAddr;

use moorline_link::slots::SlotKey;
use moorline_link::time::earliest;
use moorline_link::transport::{Counter, DialError};
use moorline_link::{
    Control, Lane, LinkEvent, LinkId, LinkStats, Origin, Outgoing, Port, Refusal, Resumes,
    SendError, Time, Transmit, Transport,
};
use moorline_proto::Endpoint;

/// A link's place here is its place in its endpoint, times as many as there are, and the number of
/// that one.
#[derive(Debug)]
pub(crate) struct Siblings {
    endpoints: Vec<Endpoint>,
    /// The link whose loss was told of last: its figures may still be asked for.
    lost_last: Option<LinkId>,
}

impl Siblings {
    pub(crate) const fn new(endpoints: Vec<Endpoint>) -> Self {
        Self { endpoints, lost_last: None }
    }

    /// The system leads what comes from one address to one of them.
    fn socket_of(&self, from: SocketAddr) -> usize {
        usize::from(from.port()) % self.endpoints.len()
    }

    fn pass_on(&mut self, now: Time) {
        for number in 0..self.endpoints.len() {
            while let Some(mut passed) = self.endpoints[number].poll_passed_on() {
                let other = &mut self.endpoints[usize::from(passed.to)];
                other.handle_passed_on(now, passed.from, &mut passed.datagram);
            }
        }
    }

    fn inner(&self, link: LinkId) -> (usize, LinkId) {
        let count = self.endpoints.len() as u32;
        let SlotKey { index, generation } = link.0;
        let inner = SlotKey { index: index / count, generation };
        ((index % count) as usize, LinkId(inner))
    }

    fn of(&self, link: LinkId) -> (&Endpoint, LinkId) {
        let (number, link) = self.inner(link);
        (&self.endpoints[number], link)
    }

    fn of_mut(&mut self, link: LinkId) -> (&mut Endpoint, LinkId) {
        let (number, link) = self.inner(link);
        (&mut self.endpoints[number], link)
    }

    fn outer(&self, number: usize, link: LinkId) -> LinkId {
        let SlotKey { index, generation } = link.0;
        LinkId(SlotKey { index: index * self.endpoints.len() as u32 + number as u32, generation })
    }

    /// An event of an endpoint, with links as they are called here.
    fn told(&self, number: usize, mut event: LinkEvent) -> LinkEvent {
        let outer = |link: LinkId| self.outer(number, link);
        match &mut event {
            LinkEvent::Asked { link, resumes, .. } => {
                (*link, *resumes) = (outer(*link), resumes.map(outer));
            }
            LinkEvent::Up { link, resumes, .. } => {
                *link = outer(*link);
                *resumes = resumes.map(|resumes| match resumes {
                    Resumes::Lanes(earlier) => Resumes::Lanes(outer(earlier)),
                    Resumes::Peer(earlier) => Resumes::Peer(outer(earlier)),
                });
            }
            LinkEvent::HandedOver { link, .. }
            | LinkEvent::HandOverReady { link }
            | LinkEvent::LanesLost { link, .. }
            | LinkEvent::Heard { link }
            | LinkEvent::Control { link, .. }
            | LinkEvent::Message { link, .. }
            | LinkEvent::Delivered { link, .. }
            | LinkEvent::Backlog { link, .. }
            | LinkEvent::AddressChanged { link, .. }
            | LinkEvent::Lost { link, .. } => *link = outer(*link),
        }
        event
    }
}

impl Transport for Siblings {
    fn name(&self) -> &'static str {
        "native"
    }

    fn is_authentic(&self) -> bool {
        true
    }

    fn handle_datagram(&mut self, now: Time, port: Port, from: SocketAddr, datagram: &[u8]) {
        let socket = self.socket_of(from);
        self.endpoints[socket].handle_datagram(now, port, from, datagram);
        self.pass_on(now);
    }

    fn handle_in_place(&mut self, now: Time, port: Port, origin: Origin, datagram: &mut [u8]) {
        let socket = self.socket_of(origin.from);
        self.endpoints[socket].handle_in_place(now, port, origin, datagram);
        self.pass_on(now);
    }

    fn handle_timeout(&mut self, now: Time) {
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.handle_timeout(now));
    }

    fn poll_transmit(&mut self, now: Time, datagram: &mut Vec<u8>) -> Option<Transmit> {
        self.endpoints.iter_mut().find_map(|endpoint| endpoint.poll_transmit(now, datagram))
    }

    fn poll_event(&mut self) -> Option<LinkEvent> {
        let mut endpoints = self.endpoints.iter_mut().enumerate();
        let found = endpoints.find_map(|(number, it)| Some((number, it.poll_event()?)));
        let event = found.map(|(number, event)| self.told(number, event))?;
        if let LinkEvent::Lost { link, .. } = event {
            self.lost_last = Some(link);
        }
        Some(event)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.endpoints.iter().map(Transport::poll_timeout).fold(None, earliest)
    }

    fn dial(&mut self, _: Time, _: SocketAddr, _: Option<LinkId>) -> Result<LinkId, DialError> {
        Err(DialError::HostOnly)
    }

    fn keeps(&self, link: LinkId) -> bool {
        let (endpoint, link) = self.of(link);
        endpoint.keeps(link)
    }

    fn keep(&mut self, now: Time, link: LinkId) -> bool {
        let (endpoint, link) = self.of_mut(link);
        endpoint.keep(now, link)
    }

    fn release(&mut self, now: Time, link: LinkId) {
        let (endpoint, link) = self.of_mut(link);
        endpoint.release(now, link);
    }

    fn unsettled(&self, link: LinkId) -> Option<[u64; Lane::RELIABLE.len()]> {
        let (endpoint, link) = self.of(link);
        endpoint.unsettled(link)
    }

    fn save(&self, link: LinkId) -> Option<Vec<u8>> {
        let (endpoint, link) = self.of(link);
        endpoint.save(link)
    }

    /// Whichever takes it: the list of tickets leads its user there.
    fn restore(&mut self, now: Time, address: SocketAddr, saved: &[u8]) -> Option<LinkId> {
        let number =
            saved.iter().map(|byte| usize::from(*byte)).sum::<usize>() % self.endpoints.len();
        let link = self.endpoints[number].restore(now, address, saved)?;
        Some(self.outer(number, link))
    }

    fn hand_over(&mut self, now: Time, link: LinkId, peer: &[u8]) -> Result<(), SendError> {
        let (endpoint, link) = self.of_mut(link);
        endpoint.hand_over(now, link, peer)
    }

    fn accept(&mut self, now: Time, link: LinkId) {
        let (endpoint, link) = self.of_mut(link);
        endpoint.accept(now, link);
    }

    fn refuse(&mut self, now: Time, link: LinkId, refusal: &Refusal) {
        let (endpoint, link) = self.of_mut(link);
        endpoint.refuse(now, link, refusal);
    }

    fn send(&mut self, now: Time, link: LinkId, message: Outgoing<'_>) -> Result<(), SendError> {
        let (endpoint, link) = self.of_mut(link);
        endpoint.send(now, link, message)
    }

    fn make_room(&mut self, link: LinkId, lane: Lane, len: usize) -> bool {
        let (endpoint, link) = self.of_mut(link);
        endpoint.make_room(link, lane, len)
    }

    fn control(&mut self, now: Time, link: LinkId, control: &Control) -> Result<(), SendError> {
        let (endpoint, link) = self.of_mut(link);
        endpoint.control(now, link, control)
    }

    fn close(&mut self, now: Time, link: LinkId, farewell: Option<&Refusal>) {
        let (endpoint, link) = self.of_mut(link);
        endpoint.close(now, link, farewell);
    }

    fn abandon(&mut self, now: Time, link: LinkId) {
        let (endpoint, link) = self.of_mut(link);
        endpoint.abandon(now, link);
    }

    fn stats(&self, link: LinkId) -> Option<LinkStats> {
        let is_lost_last = self.lost_last == Some(link);
        let (endpoint, link) = self.of(link);
        let is_there = is_lost_last || endpoint.native_stats(link).is_some();
        endpoint.stats(link).filter(|_| is_there)
    }

    fn counters(&self) -> Vec<Counter> {
        self.endpoints.iter().flat_map(Transport::counters).collect()
    }
}
