//! A world that can be repeated: hosts, clients and the network between them, from a seed.
//!
//! It reads no clock and opens no socket: a simulation drives everything with virtual time, the
//! relay of the `moorline` program drives [`network`] with the real one. One seed decides who takes
//! part, what goes wrong and when, and what each datagram meets on its way; [`run()`](run::run)
//! plays it through and holds it to every [`Oracle`] there is. What a seed found once, it finds
//! again.
//!
//! ```
//! use moorline_sim::{Kcp, Plan, Scope, run};
//!
//! let outcome = run(&Kcp, Plan { seed: 7, minutes: 1, scope: Scope::All }, None);
//! assert_eq!(outcome.violation, None);
//! ```
//!
//! The modules, each using only those before it:
//!
//! * `dice`: draws from a seed.
//! * [`network`]: one direction of a path, with its delay, loss and other conditions.
//! * [`fault`]: what goes wrong in a run, and when.
//! * `keys`: the keys of all links, and what is sealed with them.
//! * `siblings`: endpoints that serve one address together, as one transport.
//! * [`carrier`]: the transport of a run, and what it promises.
//! * [`oracle`]: what must hold in every run.
//! * `setup`: who takes part, and how they are configured.
//! * `record`: what a run leaves behind.
//! * `world`: processes, applications and strangers on virtual time.
//! * [`run`](mod@run): one seed, from the beginning to the end.
//! * [`figures`]: what many seeds came to.

pub mod carrier;
mod dice;
pub mod fault;
pub mod figures;
mod keys;
pub mod network;
pub mod oracle;
mod record;
pub mod run;
mod setup;
mod siblings;
mod world;

pub use carrier::{Carrier, Endpoint, InMemory, Kcp, Native, Promises};
pub use fault::{Fault, Faults, Scope};
pub use figures::Figures;
pub use keys::KeyRing;
pub use oracle::{Oracle, Violation};
pub use run::{Outcome, Plan, run, run_again};
