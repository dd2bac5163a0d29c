//! The words for what a path does: as flags, after `--up` and `--down`, and typed at run time.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use moorline_sim::network::{Conditions, ConditionsError, Loss, PERMILLE_MAX};

/// How much longer a detour is: more than a few messages of anything that is live.
const REORDER_BY: Duration = Duration::from_millis(50);

/// The longest delay and jitter.
const MILLIS_MAX: f64 = 60_000.0;

/// Where the rate is limited, this waits at most by default: half a second at one Mbit/s.
const QUEUE_BYTES: usize = 64 * 1024;

/// What the relay does to datagrams, each direction on its own.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Conditions, in both directions")]
pub(crate) struct Shaping {
    /// How long each datagram is under way.
    #[arg(long, value_name = "MS", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Delay.set(text))]
    delay: Option<Setting>,
    /// How much longer it may be; later ones may overtake it.
    #[arg(long, value_name = "MS", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Jitter.set(text))]
    jitter: Option<Setting>,
    /// How many are lost, in percent.
    #[arg(long, value_name = "PCT", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Loss.set(text))]
    loss: Option<Setting>,
    /// How many are lost in a row, on average; 0 leaves each to its own luck.
    #[arg(long, value_name = "PACKETS", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Burst.set(text))]
    burst: Option<Setting>,
    /// How many arrive twice, in percent.
    #[arg(long, value_name = "PCT", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Dup.set(text))]
    dup: Option<Setting>,
    /// How many arrive 50 ms late, after those behind them, in percent.
    #[arg(long, value_name = "PCT", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Reorder.set(text))]
    reorder: Option<Setting>,
    /// How many have a few bytes changed, in percent.
    #[arg(long, value_name = "PCT", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Corrupt.set(text))]
    corrupt: Option<Setting>,
    /// How many lose their end, in percent.
    #[arg(long, value_name = "PCT", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Truncate.set(text))]
    truncate: Option<Setting>,
    /// How many end in a piece of the one before, in percent.
    #[arg(long, value_name = "PCT", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Splice.set(text))]
    splice: Option<Setting>,
    /// How many bits a second fit through, such as 64000, 64k or 1.5M.
    #[arg(long, value_name = "BPS", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Rate.set(text))]
    rate: Option<Setting>,
    /// How much may wait for the rate; the rest is dropped. Default: 65536.
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Queue.set(text))]
    queue: Option<Setting>,
    /// Longer datagrams vanish.
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true,
        value_parser = |text: &str| Knob::Mtu.set(text))]
    mtu: Option<Setting>,
    /// What is different from clients to host, such as loss=5,delay=20.
    #[arg(long, value_name = "NAME=VALUE,..", value_delimiter = ',', value_parser = Setting::parse)]
    up: Vec<Setting>,
    /// What is different from host to clients.
    #[arg(long, value_name = "NAME=VALUE,..", value_delimiter = ',', value_parser = Setting::parse)]
    down: Vec<Setting>,
    /// What decides who is hit.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Shaping {
    /// Whether it says anything at all.
    pub(crate) fn is_given(&self) -> bool {
        self.both().next().is_some() || !self.up.is_empty() || !self.down.is_empty()
    }

    /// The conditions up and down.
    pub(crate) fn conditions(&self) -> Result<[Conditions; 2], ConditionsError> {
        let base = Conditions {
            reorder_by: REORDER_BY,
            queue_bytes_max: QUEUE_BYTES,
            ..Conditions::default()
        };
        let conditions = [&self.up, &self.down].map(|own| {
            let mut conditions = base;
            self.both()
                .chain(own.iter().copied())
                .for_each(|setting| setting.apply(&mut conditions));
            conditions
        });
        conditions.iter().try_for_each(Conditions::check)?;
        Ok(conditions)
    }

    fn both(&self) -> impl Iterator<Item = Setting> {
        let settings = [
            self.delay,
            self.jitter,
            self.loss,
            self.burst,
            self.dup,
            self.reorder,
            self.corrupt,
            self.truncate,
            self.splice,
            self.rate,
            self.queue,
            self.mtu,
        ];
        settings.into_iter().flatten()
    }
}

/// What can be set, by the name that it has everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knob {
    Delay,
    Jitter,
    Loss,
    Burst,
    Dup,
    Reorder,
    Corrupt,
    Truncate,
    Splice,
    Rate,
    Queue,
    Mtu,
}

impl Knob {
    const ALL: [(&'static str, Self); 12] = [
        ("delay", Self::Delay),
        ("jitter", Self::Jitter),
        ("loss", Self::Loss),
        ("burst", Self::Burst),
        ("dup", Self::Dup),
        ("reorder", Self::Reorder),
        ("corrupt", Self::Corrupt),
        ("truncate", Self::Truncate),
        ("splice", Self::Splice),
        ("rate", Self::Rate),
        ("queue", Self::Queue),
        ("mtu", Self::Mtu),
    ];

    fn by_name(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, knob)| *knob).ok_or_else(|| {
            let known = Self::ALL.map(|(known, _)| known).join(", ");
            format!("there is no '{name}' to set: {known}")
        })
    }

    fn set(self, text: &str) -> Result<Setting, String> {
        Ok(match self {
            Self::Delay => Setting::Delay(millis(text)?),
            Self::Jitter => Setting::Jitter(millis(text)?),
            Self::Loss => Setting::Loss { permille: permille(text)? },
            Self::Burst => Setting::Burst { len: whole(text, "packets, such as 4")? },
            Self::Dup => Setting::Dup { permille: permille(text)? },
            Self::Reorder => Setting::Reorder { permille: permille(text)? },
            Self::Corrupt => Setting::Corrupt { permille: permille(text)? },
            Self::Truncate => Setting::Truncate { permille: permille(text)? },
            Self::Splice => Setting::Splice { permille: permille(text)? },
            Self::Rate => Setting::Rate { bytes_per_second: or_none(text, rate)? },
            Self::Queue => Setting::Queue { bytes: whole(text, "bytes, such as 65536")? as usize },
            Self::Mtu => {
                let bytes = or_none(text, |text| whole(text, "bytes, such as 1200, or none"))?;
                Setting::Mtu { bytes: bytes.map(|bytes| bytes as usize) }
            }
        })
    }
}

/// One thing that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Delay(Duration),
    Jitter(Duration),
    Loss { permille: u32 },
    Burst { len: u32 },
    Dup { permille: u32 },
    Reorder { permille: u32 },
    Corrupt { permille: u32 },
    Truncate { permille: u32 },
    Splice { permille: u32 },
    Rate { bytes_per_second: Option<u64> },
    Queue { bytes: usize },
    Mtu { bytes: Option<usize> },
    Cut(bool),
}

impl Setting {
    /// `loss=5`
    fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' is not NAME=VALUE, such as loss=5"))?;
        Knob::by_name(name)?.set(value)
    }

    pub(super) fn apply(self, to: &mut Conditions) {
        let (lost, in_a_row) = match to.loss {
            Loss::None => (0, 0),
            Loss::Even { permille } => (permille, 0),
            Loss::Bursts { permille, burst_len } => (permille, burst_len),
        };
        match self {
            Self::Delay(delay) => to.delay = delay,
            Self::Jitter(jitter) => to.jitter = jitter,
            Self::Loss { permille } => to.loss = loss(permille, in_a_row),
            Self::Burst { len } => to.loss = loss(lost, len),
            Self::Dup { permille } => to.duplicate_permille = permille,
            Self::Reorder { permille } => to.reorder_permille = permille,
            Self::Corrupt { permille } => to.corrupt_permille = permille,
            Self::Truncate { permille } => to.truncate_permille = permille,
            Self::Splice { permille } => to.splice_permille = permille,
            Self::Rate { bytes_per_second } => to.rate_bytes_per_second = bytes_per_second,
            Self::Queue { bytes } => to.queue_bytes_max = bytes,
            Self::Mtu { bytes } => to.mtu = bytes,
            Self::Cut(is_cut) => to.is_cut = is_cut,
        }
    }
}

/// Bursts keep their length while nothing is lost, so that it may be said before the loss.
fn loss(permille: u32, burst_len: u32) -> Loss {
    match (permille, burst_len) {
        (0, 0) => Loss::None,
        (_, 0) => Loss::Even { permille },
        _ => Loss::Bursts { permille, burst_len },
    }
}

/// A line that was typed at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Status,
    Set { directions: &'static [usize], settings: Vec<Setting> },
}

pub(super) const UP: usize = 0;
pub(super) const DOWN: usize = 1;

impl Order {
    /// `status`, `cut`, `loss 5`, `up delay 100 jitter 20`
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let mut words =
            line.split([' ', '\t', '=', ',']).filter(|word| !word.is_empty()).peekable();
        let directions: &[usize] = match words.peek() {
            Some(&"up") => &[UP],
            Some(&"down") => &[DOWN],
            Some(&"status") => {
                return match words.nth(1) {
                    None => Ok(Self::Status),
                    Some(_) => Err("status stands alone".to_owned()),
                };
            }
            _ => &[UP, DOWN],
        };
        if directions.len() == 1 {
            words.next();
        }
        let mut settings = Vec::new();
        while let Some(word) = words.next() {
            settings.push(match word {
                "cut" => Setting::Cut(true),
                "heal" => Setting::Cut(false),
                name => {
                    let knob = Knob::by_name(name)
                        .map_err(|why| format!("{why}, cut, heal, status; up or down before it"))?;
                    let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
                    knob.set(value).map_err(|why| format!("{name} '{value}': {why}"))?
                }
            });
        }
        if settings.is_empty() {
            return Err("nothing to do: try loss 5, up delay 100, cut, heal or status".to_owned());
        }
        Ok(Self::Set { directions, settings })
    }
}

/// The conditions in the words that set them.
pub(super) fn describe(conditions: &Conditions) -> String {
    let mut told = String::new();
    let mut tell = |text: std::fmt::Arguments<'_>| {
        let comma = if told.is_empty() { "" } else { ", " };
        // A string takes everything.
        write!(told, "{comma}{text}").ok();
    };
    if conditions.is_cut {
        tell(format_args!("cut"));
    }
    for (name, duration) in [("delay", conditions.delay), ("jitter", conditions.jitter)] {
        if !duration.is_zero() {
            tell(format_args!("{name} {} ms", duration.as_micros() as f64 / 1_000.0));
        }
    }
    let (lost, burst_len) = match conditions.loss {
        Loss::None => (0, 0),
        Loss::Even { permille } => (permille, 0),
        Loss::Bursts { permille, burst_len } => (permille, burst_len),
    };
    let chances = [
        ("loss", lost),
        ("dup", conditions.duplicate_permille),
        ("reorder", conditions.reorder_permille),
        ("corrupt", conditions.corrupt_permille),
        ("truncate", conditions.truncate_permille),
        ("splice", conditions.splice_permille),
    ];
    for (name, permille) in chances.into_iter().filter(|(_, permille)| *permille > 0) {
        tell(format_args!("{name} {} %", f64::from(permille) / 10.0));
        if name == "loss" && burst_len > 0 {
            tell(format_args!("burst {burst_len}"));
        }
    }
    if let Some(rate) = conditions.rate_bytes_per_second {
        tell(format_args!("rate {} bit/s", rate.saturating_mul(8)));
        tell(format_args!("queue {} bytes", conditions.queue_bytes_max));
    }
    if let Some(mtu) = conditions.mtu {
        tell(format_args!("mtu {mtu} bytes"));
    }
    if told.is_empty() { "clear".to_owned() } else { told }
}

fn millis(text: &str) -> Result<Duration, String> {
    let millis = text.strip_suffix("ms").unwrap_or(text).parse::<f64>().ok();
    let millis = millis.filter(|millis| (0.0..=MILLIS_MAX).contains(millis));
    let millis = millis.ok_or("must be milliseconds, 0 to 60000, such as 20 or 0.5")?;
    Ok(Duration::from_secs_f64(millis / 1_000.0))
}

fn permille(text: &str) -> Result<u32, String> {
    let percent = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    let permille = percent.ok_or("must be percent, 0 to 100, such as 5 or 0.5")? * 10.0;
    if (permille - permille.round()).abs() > 1e-6 {
        return Err("must be in steps of 0.1 percent".to_owned());
    }
    Ok((permille.round() as u32).min(PERMILLE_MAX))
}

fn whole(text: &str, what: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("must be a number of {what}"))
}

/// Bits a second, in bytes.
fn rate(text: &str) -> Result<u64, String> {
    const BITS_MAX: f64 = 1e12;
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    let bits = digits.parse::<f64>().ok().map(|number| number * factor);
    let bits = bits.filter(|bits| (8.0..=BITS_MAX).contains(bits));
    let bits = bits.ok_or("must be bits a second, 8 or more, such as 64000, 64k, 1.5M, or none")?;
    Ok((bits / 8.0) as u64)
}

fn or_none<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text == "none" { Ok(None) } else { parse(text).map(Some) }
}

#[cfg(test)]
pub(super) mod testing {
    use super::Shaping;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        shaping: Shaping,
    }

    pub(crate) fn shaping(line: &str) -> Shaping {
        let words = ["it"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).expect(line).shaping
    }
}

#[cfg(test)]
mod tests {
    use super::testing::shaping;
    use super::*;

    fn told(line: &str) -> [String; 2] {
        shaping(line).conditions().expect("possible").each_ref().map(describe)
    }

    /// The conditions after these lines were typed, in words.
    fn typed(lines: &[&str]) -> String {
        let mut conditions = Conditions::default();
        for line in lines {
            let Order::Set { settings, .. } = Order::parse(line).expect(line) else {
                panic!("{line} sets nothing");
            };
            settings.into_iter().for_each(|setting| setting.apply(&mut conditions));
        }
        describe(&conditions)
    }

    #[test]
    fn flags_apply_to_both_directions_and_one_can_differ() {
        assert_eq!(told(""), ["clear", "clear"]);
        assert_eq!(told("--loss 2.5 --delay 20"), ["delay 20 ms, loss 2.5 %"; 2].map(String::from));
        assert_eq!(
            told("--delay 20 --up loss=5,burst=4 --down delay=0.5 --down rate=64k"),
            ["delay 20 ms, loss 5 %, burst 4", "delay 0.5 ms, rate 64000 bit/s, queue 65536 bytes"]
        );
        assert!(!shaping("--seed 5").is_given() && shaping("--up mtu=900").is_given());
    }

    #[test]
    fn what_cannot_be_is_told_with_what_can() {
        let impossible = shaping("--loss 90 --burst 2").conditions().expect_err("too dense");
        assert_eq!(impossible.to_string(), "bursts of 2 can lose at most 66.6 %");
        let table = [
            ("", "try loss 5, up delay 100, cut, heal or status"),
            ("up", "try loss 5"),
            ("lose 5", "no 'lose' to set: delay, jitter, loss, burst, dup, reorder, corrupt"),
            ("dance", "mtu, cut, heal, status; up or down before it"),
            ("loss", "loss needs a value"),
            ("loss five", "must be percent, 0 to 100, such as 5"),
            ("loss 101", "must be percent"),
            ("loss NaN", "must be percent"),
            ("loss 0.01", "steps of 0.1 percent"),
            ("delay -1", "must be milliseconds"),
            ("delay 60001", "must be milliseconds, 0 to 60000"),
            ("rate 7", "bits a second, 8 or more"),
            ("rate inf", "bits a second"),
            ("mtu 1.5", "must be a number of bytes"),
            ("burst many", "must be a number of packets"),
            ("status now", "status stands alone"),
        ];
        for (line, expected) in table {
            let error = Order::parse(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn typed_lines_change_what_they_name_and_keep_the_rest() {
        assert_eq!(
            typed(&["loss 5", "delay 100ms jitter 20"]),
            "delay 100 ms, jitter 20 ms, loss 5 %"
        );
        assert_eq!(typed(&["cut", "loss 5%"]), "cut, loss 5 %");
        assert_eq!(typed(&["cut", "heal"]), "clear");
        assert_eq!(typed(&["burst 4", "loss=5"]), "loss 5 %, burst 4");
        assert_eq!(typed(&["loss 5 burst 4", "burst 0"]), "loss 5 %");
        assert_eq!(typed(&["rate 1.5M mtu 900", "rate none", "mtu none"]), "clear");
        assert_eq!(Order::parse(" status "), Ok(Order::Status));
        let one = |line: &str| match Order::parse(line) {
            Ok(Order::Set { directions, .. }) => directions,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (one("up cut"), one("down cut"), one("cut")),
            (&[UP][..], &[DOWN][..], &[0, 1][..])
        );
    }

    #[test]
    fn every_name_can_be_set_everywhere() {
        for (name, _) in Knob::ALL {
            assert!(shaping(&format!("--{name} 10")).is_given(), "{name}");
            assert!(shaping(&format!("--up {name}=10")).is_given(), "{name}");
            assert!(Order::parse(&format!("down {name} 10")).is_ok(), "{name}");
        }
    }
}
