//! Who logged in, and how a stranger's bytes are shown to a person.

use std::error::Error;
use std::fmt::{self, Write};
use std::sync::Arc;

/// Who a session belongs to, in bytes that the application chose: at least one, at most
/// [`Identity::LEN_MAX`].
///
/// It displays escaped, so that a hostile name can neither forge a log line nor colour a terminal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<[u8]>);

impl Identity {
    /// The longest identity in bytes. A clone shares them.
    pub const LEN_MAX: usize = 64;

    /// An identity of the application's choosing.
    ///
    /// # Errors
    /// When it is empty or longer than [`Identity::LEN_MAX`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, IdentityError> {
        let bytes = bytes.as_ref();
        match bytes.len() {
            0 => Err(IdentityError::Empty),
            len if len > Self::LEN_MAX => Err(IdentityError::TooLong { len }),
            _ => Ok(Self(bytes.into())),
        }
    }

    /// An identity that a peer claims: beyond the length it must be UTF-8 without control
    /// characters, as people will read it.
    ///
    /// # Errors
    /// When it breaks one of these rules; the error says which.
    pub fn from_peer(bytes: &[u8]) -> Result<Self, IdentityError> {
        let identity = Self::new(bytes)?;
        let text = str::from_utf8(bytes).map_err(|_| IdentityError::NotText)?;
        match text.chars().find(|c| !is_printable(*c)) {
            Some(_) => Err(IdentityError::ControlCharacter),
            None => Ok(identity),
        }
    }

    /// The bytes as given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Printable(&self.0), f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Why bytes are no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// There were none.
    Empty,
    /// There were more than [`Identity::LEN_MAX`].
    TooLong {
        /// How many there were.
        len: usize,
    },
    /// They are not UTF-8.
    NotText,
    /// They hold a control character, or one that changes the direction of text.
    ControlCharacter,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty"),
            Self::TooLong { len } => {
                write!(f, "the name has {len} bytes, the most is {}", Identity::LEN_MAX)
            }
            Self::NotText => f.write_str("the name is not UTF-8 text"),
            Self::ControlCharacter => f.write_str("the name holds a control character"),
        }
    }
}

impl Error for IdentityError {}

/// Bytes from a stranger, displayed on one line: text as it is, everything else escaped.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_printable(c) {
                    f.write_char(c)?;
                } else {
                    write!(f, "{}", c.escape_unicode())?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Neither a control character nor one of Unicode's invisible marks that reorder or join text.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_name_is_short_printable_text() {
        assert_eq!(Identity::from_peer(b""), Err(IdentityError::Empty));
        assert_eq!(Identity::from_peer(&[b'a'; 65]), Err(IdentityError::TooLong { len: 65 }));
        assert_eq!(Identity::from_peer(b"\xff"), Err(IdentityError::NotText));
        for bad in ["a\nb", "\x1b[31m", "a\u{202e}b", "\u{85}", "tab\t"] {
            assert_eq!(Identity::from_peer(bad.as_bytes()), Err(IdentityError::ControlCharacter));
        }
        assert_eq!(Identity::from_peer("Zoë 5".as_bytes()).expect("a name").to_string(), "Zoë 5");
    }

    #[test]
    fn a30_whatever_a_peer_sends_prints_on_one_line_without_control_characters() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let hostile = "\u{202e}\u{200b}\r\n\x1b[2J\u{2028}";
        for bytes in [every_byte.as_slice(), hostile.as_bytes()] {
            let shown = Printable(bytes).to_string();
            assert!(shown.chars().all(is_printable), "{shown}");
        }
    }
}
