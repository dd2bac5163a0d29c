//! Sessions of Moorline.
//!
//! A *session* is the relationship between a user and a host. It logs in, stays alive, gets lost,
//! comes back and ends, and every step can be observed. This crate decides all of that and touches
//! nothing: no socket, clock, thread or operating-system randomness. Time, seed and datagrams are
//! arguments; links are reached through [`moorline_link::Transport`] alone.
pub mod lifecycle;
