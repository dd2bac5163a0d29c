//! Whatever is wrong with what it was told, the program says so in one line and ends with 2.

#![cfg(unix)]

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::{Folder, Program, run_apart};

fn told(args: &[&str]) -> String {
    let (code, out, err) = run_apart(args);
    assert_eq!(code, Some(2), "{args:?}: {out}{err}");
    assert_eq!(err.lines().count(), 1, "{args:?}: {err}");
    assert!(err.starts_with("error: "), "{args:?}: {err}");
    err
}

fn relay<'a>(flag: &'a str, value: &'a str) -> [&'a str; 7] {
    ["relay", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9", flag, value]
}

#[test]
fn wrong_flags() {
    let long = "a".repeat(65);
    let table: &[(&[&str], &str)] = &[
        (&["dance"], "unrecognized subcommand 'dance'"),
        (&["serve"], "<--bind <ADDR>|--kcp <ADDR>>"),
        (&["serve", "--bind", "127.0.0.1:0", "--key", "/"], "not a file"),
        (&["serve", "--kcp", "127.0.0.1:0", "--key", "k"], "--bind"),
        (&["serve", "--bind", "127.0.0.1:0", "--kcp-sync", "127.0.0.1:0"], "--kcp <ADDR>"),
        (&["serve", "--kcp", "127.0.0.1"], "write 127.0.0.1:PORT"),
        (&["serve", "--kcp", "127.0.0.1:99999"], "invalid port"),
        (&["serve", "--kcp", "127.0.0.1:7000", "--kcp-sync", "127.0.0.1:7000"], "same port 7000"),
        (&["serve", "--kcp", "192.0.2.1:0"], "does not have that address"),
        (&["serve", "--kcp", "127.0.0.1:0", "--max-sessions", "0"], "at least 1"),
        (&["serve", "--kcp", "127.0.0.1:0", "--duplicate", "both"], "refuse, supersede"),
        (&["serve", "--kcp", "127.0.0.1:0", "--keep", "-1"], "must be seconds"),
        (&["connect", "127.0.0.1:9", "--name", "ann"], "the host's key is missing"),
        (&["bots", "127.0.0.1:9"], "--host-key-file FILE.pub"),
        (&["bots", "127.0.0.1:9", "--host-key", "mlk1"], "was it cut?"),
        (&["bots", "127.0.0.1:9", "--host-key-file", "/none.pub"], "No such file"),
        (
            &["bots", "127.0.0.1:9", "--sync-port", "9", "--host-key-file", "k"],
            "cannot be used with",
        ),
        (&["connect", "127.0.0.1:9", "--kcp"], "--name"),
        (&["connect", "127.0.0.1:0", "--kcp", "--name", "ann"], "port 0"),
        (&["connect", "0.0.0.0:9", "--kcp", "--name", "ann"], "one of its addresses"),
        (&["connect", "127.0.0.1:9", "--kcp", "--name", "a", "--sync-port", "9"], "same port 9"),
        (&["connect", "127.0.0.1:9", "--kcp", "--name", ""], "the name is empty"),
        (&["connect", "127.0.0.1:9", "--kcp", "--name", "a\nb"], "a control character"),
        (&["connect", "127.0.0.1:9", "--kcp", "--name", &long], "65 bytes, the most is 64"),
        (&["bots", "127.0.0.1:9", "--kcp", "--count", "0"], "1..=20000"),
        (&["bots", "127.0.0.1:9", "--kcp", "--size", "8"], "24..=60000"),
        (&["bots", "127.0.0.1:9", "--kcp", "--prefix", &long], "the most is 64"),
        (&["relay", "--listen", "127.0.0.1:0"], "--to"),
        (&["relay", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:0"], "port 0"),
        (&["relay", "--listen", "127.0.0.1:9", "--to", "127.0.0.1:9"], "lead it to a host"),
        (&relay("--loss", "101"), "must be percent, 0 to 100"),
        (&relay("--loss", "0.01"), "steps of 0.1 percent"),
        (&relay("--delay", "-1"), "must be milliseconds"),
        (&relay("--rate", "fast"), "such as 64000, 64k, 1.5M"),
        (&relay("--up", "loss"), "not NAME=VALUE, such as loss=5"),
        (&relay("--down", "lose=5"), "no 'lose' to set: delay, jitter, loss"),
        (&relay("--up", "loss=60,burst=1"), "bursts of 1 can lose at most 50.0 %"),
        (&["demo", "--loss", "all"], "must be percent"),
        (&["demo", "--loss", "90", "--burst", "2"], "bursts of 2 can lose at most 66.6 %"),
        (&["demo", "--seconds", "soon"], "--seconds"),
        (&["demo", "--session", "20"], "similar argument exists: '--sessions'"),
    ];
    for (args, expected) in table {
        let err = told(args);
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}

#[test]
fn a_port_in_use() {
    let (_host, address) = Program::serve("127.0.0.1:0", &[]);
    let address = address.to_string();
    let err = told(&["serve", "--kcp", &address]);
    assert!(err.contains(&format!("{address}: address already in use")), "{err}");
    let err = told(&["serve", "--kcp", "127.0.0.1:0", "--kcp-sync", &address]);
    assert!(err.contains(&format!("{address}: address already in use")), "{err}");
}

#[test]
fn what_cannot_be_written_is_told_before_anything_starts() {
    let folder = Folder::new("unwritable");
    let file = folder.file("file");
    fs::write(&file, "kept").expect("a file");
    let below = format!("{file}/below");
    for args in [
        &["demo", "--json", &below][..],
        &["bots", "127.0.0.1:9", "--kcp", "--json", &below],
        &["bots", "127.0.0.1:9", "--kcp", "--json", folder.path()],
        &["serve", "--kcp", "127.0.0.1:0", "--report-dir", &below],
        &["serve", "--kcp", "127.0.0.1:0", "--report-dir", &file],
    ] {
        assert!(told(args).contains("cannot write "), "{args:?}");
    }
    assert_eq!(fs::read_to_string(&file).expect("still there"), "kept");
}

#[test]
fn a_report_that_is_none() {
    let folder = Folder::new("no-report");
    for (name, content) in
        [("empty", &b""[..]), ("noise", b"\xff\x00\x1b[2J"), ("json", b"[1, 2]"), ("object", b"{}")]
    {
        let path = folder.file(name);
        fs::write(&path, content).expect("a file");
        told(&["report", &path]);
    }
    assert!(told(&["report", &folder.file("missing")]).contains("there is no such file"));
    told(&["report", folder.path()]);
}

#[test]
fn a_reader_that_goes_away_is_none() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(["demo", "--sessions", "20", "--seconds", "5"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(demo.stdout.take());
    let output = demo.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
