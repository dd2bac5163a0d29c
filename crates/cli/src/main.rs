//! The `moorline` program.
fn main() {}
