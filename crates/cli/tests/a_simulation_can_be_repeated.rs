//! `sim` runs seeds, tells what they came to, and writes the same trace for the same seed.

#![cfg(unix)]

mod common;

use std::fs;

use common::{Folder, run_apart};

#[test]
fn seeds_are_run_and_summed_up() {
    for transport in ["kcp", "memory"] {
        let args = ["sim", "--seed", "5", "--seeds", "3", "--transport", transport];
        let (code, out, err) = run_apart(&args);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        assert!(out.starts_with("3 runs, 0 failed, "), "{out}");
        assert!(out.contains("pairs of faults that met: "), "{out}");
    }
}

#[test]
fn a_trace_is_written_and_is_the_same_again() {
    let folder = Folder::new("a-simulation");
    let trace = |name: &str| {
        let path = folder.file(name);
        let (code, out, err) = run_apart(&["sim", "--seed", "5", "--trace", &path]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        fs::read_to_string(path).expect("it was written")
    };
    let first = trace("first");
    assert!(first.lines().count() > 100);
    assert_eq!(trace("second"), first);
}
