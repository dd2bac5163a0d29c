//! What is typed, or piped in, line by line.

use std::io::{BufRead, Read};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// Lines that may wait to be taken.
const WAITING_MAX: usize = 64;

/// A longer line comes in pieces of this many bytes.
const LINE_LEN_MAX: u64 = 8_192;

/// Lines from standard input, read on a thread of their own, as a read cannot be given up; `None`
/// means that there are no more. After each, `on_line` is called on that thread.
pub(crate) fn read_lines(on_line: impl Fn() + Send + 'static) -> Receiver<Option<String>> {
    let (sender, receiver) = mpsc::sync_channel(WAITING_MAX);
    thread::spawn(move || {
        while let Some(line) = read_line() {
            if sender.send(Some(line)).is_err() {
                return;
            }
            on_line();
        }
        sender.send(None).ok();
        on_line();
    });
    receiver
}

/// The next line without its end, or a piece of one that is too long.
fn read_line() -> Option<String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(LINE_LEN_MAX).read_until(b'\n', &mut bytes);
    if read.ok()? == 0 {
        return None;
    }
    Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned())
}
