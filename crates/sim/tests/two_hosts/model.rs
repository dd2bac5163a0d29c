//! What should become of one user's devices and two hosts with one key, of which one may send
//! everyone to the other: login, resume, supersede, drain and hand-over, as a state machine of a
//! few bytes.
//!
//! An action is what happens until nothing more does. What is between is in how far a dial comes:
//! after so many datagrams the path is cut.

/// How many devices the user has.
pub(crate) const DEVICES: usize = 4;
/// A dial on a path that stays.
pub(crate) const WHOLE: u8 = 4;

pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

/// What a device takes itself for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Belief {
    /// Neither logged in nor on its way.
    Out,
    /// On its way; it will give up.
    Busy,
    /// Logged in at this host.
    In(u8),
}

/// What a device could go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Held {
    Nothing,
    /// The ticket of its last link.
    Ticket,
    /// The same, and a pass to the other host, not used yet.
    Pass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Device {
    pub(crate) belief: Belief,
    /// Where it dials.
    pub(crate) target: u8,
    /// Whether a host sent it elsewhere, and none answered since: it asks at both by turns.
    pub(crate) is_sent: bool,
    pub(crate) held: Held,
    pub(crate) is_cut: bool,
}

/// The session of the user at a host; there is never more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    /// Whose link it has or had last.
    pub(crate) owner: u8,
    /// Whether it is on a link, or kept.
    pub(crate) is_living: bool,
    /// Whether what the owner holds is good for it.
    pub(crate) is_resumable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) devices: [Device; DEVICES],
    pub(crate) hosts: [Option<Session>; 2],
    pub(crate) is_drained: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A device dials; of what is sent then, so many datagrams arrive, or all.
    Dial(usize, u8),
    /// A device's path is cut, which nobody notices yet.
    Cut(usize),
    /// A device's application ends the session.
    Leave(usize),
    /// Host A sends everyone to host B, where they dial at once; of what is sent then, so many
    /// datagrams arrive, or all.
    Drain(u8),
    /// So much time passes that silence is noticed.
    Silence,
    /// So much time passes that nobody is waited for any more.
    Expire,
}

impl Action {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let dials = |device| (0..=WHOLE).map(move |arrive| Self::Dial(device, arrive));
        let of_each = move |device| dials(device).chain([Self::Cut(device), Self::Leave(device)]);
        let drains = (0..=WHOLE).map(Self::Drain);
        (0..DEVICES).flat_map(of_each).chain(drains).chain([Self::Silence, Self::Expire])
    }
}

/// What an action did, for the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Whether a session went on without a login at this host.
    pub(crate) resumed_at: Option<usize>,
}

impl State {
    pub(crate) const fn new() -> Self {
        let device = Device {
            belief: Belief::Out,
            target: 0,
            is_sent: false,
            held: Held::Nothing,
            is_cut: false,
        };
        Self { devices: [device; DEVICES], hosts: [None; 2], is_drained: false }
    }

    /// The state after an action; none where it is not possible.
    pub(crate) fn after(mut self, action: Action) -> Option<(Self, Done)> {
        let mut done = Done::default();
        match action {
            Action::Dial(device, arrive) => {
                if self.devices[device].belief != Belief::Out {
                    return None;
                }
                done.resumed_at = self.dial(device, arrive);
            }
            Action::Cut(device) => {
                let own = &mut self.devices[device];
                if own.is_cut || !matches!(own.belief, Belief::In(_)) {
                    return None;
                }
                own.is_cut = true;
            }
            Action::Leave(device) => {
                let own = self.devices[device];
                if own.belief == Belief::Out && own.held == Held::Nothing {
                    return None;
                }
                if let (Belief::In(host), false) = (own.belief, own.is_cut) {
                    self.hosts[usize::from(host)] = None;
                }
                self.devices[device].belief = Belief::Out;
                self.drop_held(device);
            }
            Action::Drain(arrive) => {
                if self.is_drained {
                    return None;
                }
                done.resumed_at = self.drain(arrive);
            }
            Action::Silence => self.pass_silence(),
            Action::Expire => {
                self.pass_silence();
                for host in &mut self.hosts {
                    *host = host.filter(|session| session.is_living);
                }
            }
        }
        Some((self, done))
    }

    /// A device dials, and so many datagrams arrive: its first one, the answer, its first packet,
    /// and what the host says to that. Where it went on without a login.
    fn dial(&mut self, device: usize, arrive: u8) -> Option<usize> {
        let at = usize::from(self.devices[device].target);
        self.devices[device].is_cut = arrive < WHOLE;
        self.devices[device].belief = Belief::Busy;
        if at == A && self.is_drained {
            if arrive >= 2 {
                let own = &mut self.devices[device];
                (own.belief, own.target, own.is_sent) = (Belief::Out, B as u8, true);
            }
            return None;
        }
        if arrive >= 1 {
            self.show_pass(device, at);
        }
        let own = |session: &Session| session.owner == device as u8 && session.is_resumable;
        let is_resumed = self.hosts[at].as_ref().is_some_and(own);
        if arrive < 2 {
            return None;
        }
        self.devices[device].is_sent = false;
        if is_resumed {
            self.devices[device].belief = Belief::In(at as u8);
            self.devices[device].held = Held::Ticket;
            if arrive >= 3 {
                let owner = device as u8;
                self.hosts[at] = Some(Session { owner, is_living: true, is_resumable: true });
                return Some(at);
            }
            return None;
        }
        // The host goes on with nothing: it is a new link, and asks for a login.
        self.drop_held(device);
        if arrive >= 3 {
            self.log_in(device, at);
        }
        if arrive >= WHOLE {
            self.devices[device].belief = Belief::In(at as u8);
            self.devices[device].held = Held::Ticket;
            let session = self.hosts[at].as_mut().expect("just logged in");
            session.is_resumable = true;
        }
        None
    }

    /// What the first datagram says about another host counts once, and makes a session only where
    /// the user has none.
    fn show_pass(&mut self, device: usize, at: usize) {
        if self.devices[device].held != Held::Pass || at != B {
            return;
        }
        self.devices[device].held = Held::Ticket;
        if self.hosts[at].is_none() {
            let owner = device as u8;
            self.hosts[at] = Some(Session { owner, is_living: false, is_resumable: true });
        }
    }

    /// The host's application says yes: whoever is there on a link makes room, and is told so.
    fn log_in(&mut self, device: usize, at: usize) {
        if let Some(Session { owner, is_living: true, .. }) = self.hosts[at]
            && usize::from(owner) != device
        {
            let other = &mut self.devices[usize::from(owner)];
            if other.belief == Belief::In(at as u8) && !other.is_cut {
                other.belief = Belief::Out;
                other.held = Held::Nothing;
            }
        }
        let owner = device as u8;
        self.hosts[at] = Some(Session { owner, is_living: true, is_resumable: false });
    }

    /// Where somebody went on without a login.
    fn drain(&mut self, arrive: u8) -> Option<usize> {
        self.is_drained = true;
        self.hosts[A] = None;
        let is_here = |device: &Device| device.belief == Belief::In(A as u8) && !device.is_cut;
        let number = self.devices.iter().position(is_here)?;
        let device = &mut self.devices[number];
        (device.target, device.held, device.is_sent) = (B as u8, Held::Pass, true);
        self.dial(number, arrive)
    }

    fn pass_silence(&mut self) {
        for device in self.devices.iter_mut().filter(|device| device.is_cut) {
            if device.belief == Belief::Busy && device.is_sent {
                device.target = 1 - device.target;
            }
            device.belief = Belief::Out;
        }
        for (at, host) in self.hosts.iter_mut().enumerate() {
            if let Some(session) = host {
                let owner = self.devices[usize::from(session.owner)];
                session.is_living &= owner.belief == Belief::In(at as u8);
            }
        }
    }

    fn drop_held(&mut self, device: usize) {
        self.devices[device].held = Held::Nothing;
        for session in self.hosts.iter_mut().flatten() {
            session.is_resumable &= usize::from(session.owner) != device;
        }
    }

    /// What must hold in every state.
    pub(crate) fn check(&self) {
        let count = self.hosts.iter().flatten().count();
        assert!(count <= 1, "the user has a session at each host: {self:?}");
        assert!(!(self.is_drained && self.hosts[A].is_some()), "{self:?}");
        for (number, device) in self.devices.iter().enumerate() {
            if let (Belief::In(at), false) = (device.belief, device.is_cut) {
                let session = self.hosts[usize::from(at)];
                let is_own = session.is_some_and(|it| it.is_living && it.owner == number as u8);
                assert!(is_own, "device {number} is heard by a host that has no session: {self:?}");
            }
        }
    }

    /// All of it in a number.
    pub(crate) fn code(&self) -> u64 {
        let mut code = u64::from(self.is_drained);
        for device in &self.devices {
            let belief = match device.belief {
                Belief::Out => 0,
                Belief::Busy => 1,
                Belief::In(host) => 2 + u64::from(host),
            };
            let held = device.held as u64;
            code = code << 7 | belief << 5 | held << 3 | u64::from(device.is_sent) << 2;
            code |= u64::from(device.target) << 1 | u64::from(device.is_cut);
        }
        for host in &self.hosts {
            let session = host.map(|session| {
                let flags = u64::from(session.is_living) << 1 | u64::from(session.is_resumable);
                1 << 5 | flags << 3 | u64::from(session.owner)
            });
            code = code << 6 | session.unwrap_or(0);
        }
        code
    }

    /// The state in which everyone has noticed what happened.
    pub(crate) fn noticed(&self) -> Self {
        self.after(Action::Silence).expect("time passes").0
    }

    /// Once paths carry again and everyone noticed what happened, whoever comes gets in, and both
    /// sides agree about it.
    pub(crate) fn check_settles(&self) {
        let mut settled = *self;
        let is_in = |device: &Device| matches!(device.belief, Belief::In(_));
        if settled.devices.iter().any(is_in) {
            return;
        }
        let device = 0;
        while !is_in(&settled.devices[device]) {
            let before = settled;
            (settled, _) = settled.after(Action::Dial(device, WHOLE)).expect("it is out");
            assert_ne!(before, settled, "it gets nowhere: {self:?}");
        }
        let Belief::In(at) = settled.devices[device].belief else { unreachable!("just seen") };
        let session = settled.hosts[usize::from(at)].expect("both sides agree");
        assert!(session.is_living && session.owner == 0 && session.is_resumable, "{settled:?}");
        assert_eq!(settled.devices.iter().filter(|it| is_in(it)).count(), 1, "{settled:?}");
    }
}
