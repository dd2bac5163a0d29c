//! A code, words, and when to try again: how refusals and good-byes travel.

use std::time::Duration;

use moorline_link::{Refusal, RefusalCode};

use super::WireError;
use super::bytes::{Reader, block_len, put_block, put_varint, varint_len};

/// A no with its reason, as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// The kind of no.
    pub code: RefusalCode,
    /// When to try again, in milliseconds; `None` means that trying again will not help.
    pub retry_after_millis: Option<u32>,
    /// Words for a person, at most [`Refusal::TEXT_LEN_MAX`] bytes.
    pub text: &'a str,
}

impl<'a> Notice<'a> {
    /// What of a refusal travels: its text is cut at a character, its delay at 49 days.
    pub fn of(refusal: &'a Refusal) -> Self {
        let end = refusal.text.floor_char_boundary(Refusal::TEXT_LEN_MAX);
        let millis = |delay: Duration| u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
        Self {
            code: refusal.code,
            retry_after_millis: refusal.retry_after.map(millis),
            text: refusal.text.get(..end).unwrap_or_default(),
        }
    }

    /// The refusal that travelled.
    pub fn refusal(&self) -> Refusal {
        let refusal = Refusal::new(self.code, self.text);
        match self.retry_after_millis {
            Some(millis) => refusal.retry_after(Duration::from_millis(millis.into())),
            None => refusal,
        }
    }

    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let code = RefusalCode::from_number(reader.varint_as()?);
        let retry_after_millis = match reader.varint()?.checked_sub(1) {
            None => None,
            Some(millis) => Some(u32::try_from(millis).map_err(|_| WireError::OutOfRange)?),
        };
        let text = reader.block(Refusal::TEXT_LEN_MAX)?;
        let text = str::from_utf8(text).map_err(|_| WireError::NotText)?;
        Ok(Self { code, retry_after_millis, text })
    }

    /// Its length in bytes.
    pub(super) const fn len(&self) -> usize {
        varint_len(self.code.number() as u64)
            .saturating_add(varint_len(self.delay()))
            .saturating_add(block_len(self.text.as_bytes()))
    }

    /// # Panics
    /// When the text is longer than it may be: the caller's mistake.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        assert!(self.text.len() <= Refusal::TEXT_LEN_MAX, "a notice's text is too long");
        put_varint(out, self.code.number().into());
        put_varint(out, self.delay());
        put_block(out, self.text.as_bytes());
    }

    /// One more than the delay; zero if there is none.
    const fn delay(&self) -> u64 {
        match self.retry_after_millis {
            Some(millis) => (millis as u64).saturating_add(1),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_refusal_is_cut_at_a_character_and_a_long_delay_at_the_longest() {
        let refusal = Refusal::new(RefusalCode::Full, "é".repeat(150))
            .retry_after(Duration::from_secs(1 << 40));
        let notice = Notice::of(&refusal);
        assert_eq!(notice.text.len(), 200);
        assert_eq!(notice.retry_after_millis, Some(u32::MAX));
        let refusal = Refusal::new(RefusalCode::Other(700), format!("a{}", "é".repeat(150)));
        assert_eq!(Notice::of(&refusal).text.len(), 199);
        let short = Refusal::new(RefusalCode::Banned, "no").retry_after(Duration::from_secs(2));
        assert_eq!(Notice::of(&short).refusal(), short);
    }
}
