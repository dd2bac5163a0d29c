//! What the two sides tell each other inside the handshake.

use super::bytes::{Reader, put_varint, varint_len};
use super::hello::MAC_LEN;
use super::message::Place;
use super::notice::Notice;
use super::packet::ConnectionId;
use super::{DATAGRAM_LEN_BASE, WireError};

/// The length of the proof that a host lost a link.
pub const RESET_TOKEN_LEN: usize = 16;

/// What a whole link is encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-256-GCM in the handshake and AES-128-GCM after it: fast where the processor helps.
    Aes,
    /// ChaCha20-Poly1305: fast everywhere else.
    ChaCha,
}

impl Suite {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Aes, Self::ChaCha];

    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Aes => 1,
            Self::ChaCha => 2,
        }
    }

    pub(super) const fn from_number(number: u8) -> Result<Self, WireError> {
        match number {
            1 => Ok(Self::Aes),
            2 => Ok(Self::ChaCha),
            other => Err(WireError::UnknownType(other)),
        }
    }
}

/// What either side tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest datagram that it takes, in bytes; at least [`DATAGRAM_LEN_BASE`].
    pub datagram_len_max: u64,
    /// How long it may hold an acknowledgement back, in milliseconds.
    pub ack_delay_max_millis: u64,
    /// How long it keeps a link that is silent, in milliseconds.
    pub idle_millis: u64,
    /// How many bytes of reliable messages it takes before it says more.
    pub data_max: u64,
}

const APPLICATION: u64 = 1;
const SUITE: u64 = 2;
const CONNECTION: u64 = 3;
const RESET_TOKEN: u64 = 4;
const DATAGRAM_LEN_MAX: u64 = 5;
const ACK_DELAY_MAX: u64 = 6;
const IDLE: u64 = 7;
const DATA_MAX: u64 = 8;
const VERSION_MAX: u64 = 9;
const EPOCH: u64 = 10;
const POSITIONS: u64 = 11;
const CLAIM: u64 = 12;
const CLAIMS_BEFORE: u64 = 13;
const LANES_LIMIT: u64 = 14;
const PASS: u64 = 15;
const SETTLED: u64 = 16;

/// The length of what a host gives a client for another one.
pub const PASS_LEN: usize = 168;

/// The most parameters of one side, unknown ones included.
const PARAMETERS_LEN_MAX: usize = 32;

/// What one side has of the reliable lanes of the other: for each lane, the least number that it
/// did not receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Positions([u64; Self::LANES]);

impl Positions {
    /// How many reliable lanes there are; their numbers are below it.
    pub const LANES: usize = Place::CHANNELS as usize + 2;

    /// The least number of a lane that was not received.
    pub fn next(&self, lane: u8) -> u64 {
        self.0.get(usize::from(lane)).copied().unwrap_or(0)
    }

    /// Sets it.
    pub fn set(&mut self, lane: u8, next: u64) {
        if let Some(place) = self.0.get_mut(usize::from(lane)) {
            *place = next;
        }
    }

    /// Lanes that nothing came on are left out.
    fn emit(&self, out: &mut Vec<u8>) {
        for (lane, next) in (0_u8..).zip(self.0).filter(|(_, next)| *next > 0) {
            out.push(lane);
            put_varint(out, next);
        }
    }

    fn parse(mut value: Reader<'_>) -> Result<Self, WireError> {
        let mut positions = Self::default();
        let mut least = 0;
        // Bounded: lanes rise, and there are few.
        while !value.is_empty() {
            let (lane, next) = (value.u8()?, value.varint()?);
            if usize::from(lane) >= Self::LANES || lane < least || next == 0 {
                return Err(WireError::OutOfRange);
            }
            positions.set(lane, next);
            least = lane.saturating_add(1);
        }
        Ok(positions)
    }
}

/// The public name of what proves that a link may go on with the lanes of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(pub [u8; 16]);

/// That a client has a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Of the earlier link.
    pub ticket: TicketId,
    /// How often the lanes went over to another link before.
    pub epoch: u64,
    /// That it has the earlier link's secret, for this hello alone.
    pub proof: [u8; MAC_LEN],
}

/// What a client says to go on with the lanes of an earlier link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeRequest {
    /// Of the latest link.
    pub claim: Claim,
    /// Of those before on which the host was not heard, and of the last on which it was: it may
    /// know no later one.
    pub before: [Option<Claim>; Claim::BEFORE_MAX],
    /// What it has of the host's lanes, and takes.
    pub lanes: LanesState,
    /// What the host before gave it for this one.
    pub pass: Option<[u8; PASS_LEN]>,
    /// Whether all that the client and the host before had sent each other arrived.
    pub is_settled: bool,
}

/// What a host says when it goes on with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeGrant {
    /// How often the lanes went over to another link, with this time.
    pub epoch: u64,
    /// What it has of the client's lanes, and takes; none if it knows the session and has no lanes,
    /// as it was started again. Both sides begin with empty lanes then.
    pub lanes: Option<LanesState>,
}

/// How far one side is with the lanes of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanesState {
    /// What arrived.
    pub positions: Positions,
    /// How many bytes of reliable messages it takes, counted since the lanes began.
    pub limit: u64,
}

/// What a client tells a host in its first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientParams {
    /// The application that the client speaks, so that it meets no other by mistake.
    pub application: u64,
    /// The newest version that the client speaks. A host that speaks it too, and got a hello of an
    /// older one, knows that somebody came between.
    pub version_max: u32,
    /// What it takes.
    pub limits: Limits,
    /// The lanes that it would go on with.
    pub resume: Option<ResumeRequest>,
}

impl ClientParams {
    /// Reads the first message's payload.
    ///
    /// # Errors
    /// When it is malformed, or something is missing.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut read = Parameters::default();
        read.parse(bytes)?;
        let application = *read.application.ok_or(WireError::Parameters)?;
        let version_max = *read.version_max.ok_or(WireError::Parameters)?;
        Ok(Self {
            application: u64::from_be_bytes(application),
            version_max: u32::from_be_bytes(version_max),
            limits: read.limits.limits()?,
            resume: match read.claim {
                Some(claim) => Some(ResumeRequest {
                    claim,
                    before: read.before,
                    lanes: read.lanes().ok_or(WireError::Parameters)?,
                    pass: read.pass,
                    is_settled: read.is_settled,
                }),
                None => None,
            },
        })
    }

    /// Appends them.
    pub fn emit(&self, out: &mut Vec<u8>) {
        put_parameter(out, APPLICATION, &self.application.to_be_bytes());
        self.limits.emit(out);
        put_parameter(out, VERSION_MAX, &self.version_max.to_be_bytes());
        if let Some(resume) = &self.resume {
            put_positions(out, &resume.lanes.positions);
            put_parameter(out, CLAIM, &resume.claim.bytes());
            let before: Vec<_> = resume.before.iter().flatten().map(Claim::bytes).collect();
            if !before.is_empty() {
                put_parameter(out, CLAIMS_BEFORE, &before.concat());
            }
            put_number(out, LANES_LIMIT, resume.lanes.limit);
            if let Some(pass) = &resume.pass {
                put_parameter(out, PASS, pass);
            }
            if resume.is_settled {
                put_parameter(out, SETTLED, &[]);
            }
        }
    }
}

/// What a host tells a client that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostParams {
    /// What the link is encrypted with: the client's suite, or ChaCha if the host is slow at AES.
    pub suite: Suite,
    /// What the client puts on its packets.
    pub connection: ConnectionId,
    /// What a datagram ends with that says the host lost the link.
    pub reset_token: [u8; RESET_TOKEN_LEN],
    /// What it takes.
    pub limits: Limits,
    /// Whether it goes on with the lanes that the client asked for.
    pub resumed: Option<ResumeGrant>,
}

impl HostParams {
    fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut read = Parameters::default();
        read.parse(bytes)?;
        let suite = read.suite.ok_or(WireError::Parameters)?;
        let connection = ConnectionId(*read.connection.ok_or(WireError::Parameters)?);
        let reset_token = *read.reset_token.ok_or(WireError::Parameters)?;
        let resumed = read.epoch.map(|epoch| ResumeGrant { epoch, lanes: read.lanes() });
        Ok(Self { suite, connection, reset_token, limits: read.limits.limits()?, resumed })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        put_parameter(out, SUITE, &[self.suite.number()]);
        put_parameter(out, CONNECTION, &self.connection.0);
        put_parameter(out, RESET_TOKEN, &self.reset_token);
        self.limits.emit(out);
        if let Some(resumed) = &self.resumed {
            put_number(out, EPOCH, resumed.epoch);
            if let Some(lanes) = &resumed.lanes {
                put_positions(out, &lanes.positions);
                put_number(out, LANES_LIMIT, lanes.limit);
            }
        }
    }
}

/// What a host says to a hello, in its handshake message: nobody else can tell which, or say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each handshake, and never two")]
pub enum Answer<'a> {
    /// Welcome.
    Accepted(HostParams),
    /// No, and why.
    Refused(Notice<'a>),
}

const ACCEPTED: u8 = 0;
const REFUSED: u8 = 1;

impl<'a> Answer<'a> {
    /// Reads the second message's payload.
    ///
    /// # Errors
    /// When it is malformed, or something is missing.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader(bytes);
        match reader.u8()? {
            ACCEPTED => HostParams::parse(reader.rest()).map(Self::Accepted),
            REFUSED => {
                let notice = Notice::parse(&mut reader)?;
                if reader.is_empty() { Ok(Self::Refused(notice)) } else { Err(WireError::Overlong) }
            }
            other => Err(WireError::UnknownType(other)),
        }
    }

    /// Appends it.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Accepted(params) => {
                out.push(ACCEPTED);
                params.emit(out);
            }
            Self::Refused(notice) => {
                out.push(REFUSED);
                notice.emit(out);
            }
        }
    }
}

/// All parameters that this version knows, as far as they were read.
#[derive(Default)]
struct Parameters<'a> {
    application: Option<&'a [u8; 8]>,
    suite: Option<Suite>,
    connection: Option<&'a [u8; ConnectionId::LEN]>,
    reset_token: Option<&'a [u8; RESET_TOKEN_LEN]>,
    version_max: Option<&'a [u8; 4]>,
    limits: ReadLimits,
    epoch: Option<u64>,
    positions: Option<Positions>,
    claim: Option<Claim>,
    before: [Option<Claim>; Claim::BEFORE_MAX],
    lanes_limit: Option<u64>,
    pass: Option<[u8; PASS_LEN]>,
    is_settled: bool,
}

#[derive(Default)]
struct ReadLimits {
    datagram_len_max: Option<u64>,
    ack_delay_max_millis: Option<u64>,
    idle_millis: Option<u64>,
    data_max: Option<u64>,
}

impl<'a> Parameters<'a> {
    /// Each parameter is a number, a length and a value; the numbers rise. One that is not known
    /// here is left out.
    fn parse(&mut self, bytes: &'a [u8]) -> Result<(), WireError> {
        let mut reader = Reader(bytes);
        let mut last = 0;
        for _ in 0..PARAMETERS_LEN_MAX {
            if reader.is_empty() {
                return Ok(());
            }
            let number = reader.varint()?;
            if number <= last {
                return Err(WireError::Parameters);
            }
            last = number;
            self.parse_one(number, Reader(reader.block(usize::MAX)?))?;
        }
        if reader.is_empty() { Ok(()) } else { Err(WireError::OutOfRange) }
    }

    fn parse_one(&mut self, number: u64, mut value: Reader<'a>) -> Result<(), WireError> {
        match number {
            APPLICATION => self.application = Some(value.array()?),
            SUITE => self.suite = Some(Suite::from_number(value.u8()?)?),
            CONNECTION => self.connection = Some(value.array()?),
            RESET_TOKEN => self.reset_token = Some(value.array()?),
            VERSION_MAX => self.version_max = Some(value.array()?),
            DATAGRAM_LEN_MAX => self.limits.datagram_len_max = Some(value.varint()?),
            ACK_DELAY_MAX => self.limits.ack_delay_max_millis = Some(value.varint()?),
            IDLE => self.limits.idle_millis = Some(value.varint()?),
            DATA_MAX => self.limits.data_max = Some(value.varint()?),
            EPOCH => self.epoch = Some(value.varint()?),
            POSITIONS => {
                self.positions = Some(Positions::parse(value)?);
                return Ok(());
            }
            CLAIM => self.claim = Some(Claim::parse(&mut value)?),
            CLAIMS_BEFORE => {
                for place in &mut self.before {
                    if !value.is_empty() {
                        *place = Some(Claim::parse(&mut value)?);
                    }
                }
            }
            PASS => self.pass = Some(*value.array()?),
            SETTLED => self.is_settled = true,
            LANES_LIMIT => self.lanes_limit = Some(value.varint()?),
            _ => return Ok(()),
        }
        if value.is_empty() { Ok(()) } else { Err(WireError::OutOfRange) }
    }
}

impl Parameters<'_> {
    fn lanes(&self) -> Option<LanesState> {
        let positions = self.positions.unwrap_or_default();
        self.lanes_limit.map(|limit| LanesState { positions, limit })
    }
}

impl ReadLimits {
    fn limits(&self) -> Result<Limits, WireError> {
        let datagram_len_max = self.datagram_len_max.ok_or(WireError::Parameters)?;
        if datagram_len_max < DATAGRAM_LEN_BASE as u64 {
            return Err(WireError::OutOfRange);
        }
        Ok(Limits {
            datagram_len_max,
            ack_delay_max_millis: self.ack_delay_max_millis.ok_or(WireError::Parameters)?,
            idle_millis: self.idle_millis.ok_or(WireError::Parameters)?,
            data_max: self.data_max.ok_or(WireError::Parameters)?,
        })
    }
}

impl Limits {
    fn emit(&self, out: &mut Vec<u8>) {
        for (number, value) in [
            (DATAGRAM_LEN_MAX, self.datagram_len_max),
            (ACK_DELAY_MAX, self.ack_delay_max_millis),
            (IDLE, self.idle_millis),
            (DATA_MAX, self.data_max),
        ] {
            put_number(out, number, value);
        }
    }
}

impl Claim {
    /// How many earlier tickets a client claims by at most.
    pub const BEFORE_MAX: usize = 2;

    fn parse(value: &mut Reader<'_>) -> Result<Self, WireError> {
        let (ticket, proof) = (TicketId(*value.array()?), *value.array()?);
        Ok(Self { ticket, proof, epoch: value.varint()? })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.ticket.0, self.proof].concat();
        put_varint(&mut bytes, self.epoch);
        bytes
    }
}

fn put_positions(out: &mut Vec<u8>, positions: &Positions) {
    let mut value = Vec::new();
    positions.emit(&mut value);
    put_parameter(out, POSITIONS, &value);
}

fn put_number(out: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(out, number);
    put_varint(out, varint_len(value) as u64);
    put_varint(out, value);
}

fn put_parameter(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    put_varint(out, number);
    super::bytes::put_block(out, value);
}
