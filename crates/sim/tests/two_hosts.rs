//! Two hosts with one key and a user with several devices: every state that they can come to, in a
//! model; and walks through it that are repeated with the real thing.

#[path = "two_hosts/model.rs"]
mod model;
#[path = "two_hosts/stage.rs"]
mod stage;

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use model::{Action, State, WHOLE};
use moorline_link::rng::Rng;
use stage::Stage;

/// A number is spread enough by a multiplication; nobody chooses these.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

type Codes = HashSet<u64, BuildHasherDefault<Spread>>;

#[test]
fn in_every_state_the_user_has_one_session_and_whoever_comes_gets_in() {
    let actions: Vec<Action> = Action::all().collect();
    let (mut seen, mut settled) = (Codes::default(), Codes::default());
    let mut waiting = vec![State::new()];
    seen.insert(State::new().code());
    while let Some(state) = waiting.pop() {
        state.check();
        let noticed = state.noticed();
        if settled.insert(noticed.code()) {
            noticed.check_settles();
        }
        for (next, _) in actions.iter().filter_map(|action| state.after(*action)) {
            if seen.insert(next.code()) {
                waiting.push(next);
            }
        }
    }
    assert!(seen.len() > 1_000_000, "{}", seen.len());
}

/// Anything, but more often what leads somewhere: a dial that succeeds, a cut, or time.
fn draw(rng: &mut Rng, actions: &[Action]) -> Action {
    let device = rng.below(3) as usize;
    match rng.below(8) {
        0 | 1 => Action::Dial(device, WHOLE),
        2 | 3 => Action::Cut(device),
        4 => Action::Silence,
        _ => actions[rng.below(actions.len() as u64) as usize],
    }
}

/// Steps of a walk, and how often time may pass in it: a kept session and a pass outlive the
/// silences of a walk.
const STEPS: usize = 16;
const SILENCES_MAX: usize = 5;
const EXPIRIES_MAX: usize = 1;

#[test]
fn walks_through_the_model_are_what_really_happens() {
    let actions: Vec<Action> = Action::all().collect();
    let (mut resumed, mut handed_over, mut met) = ([0, 0], 0, HashSet::new());
    for seed in 0..1_600 {
        let (mut rng, mut state, mut stage) = (Rng::new(seed), State::new(), Stage::new(seed));
        let (mut steps, mut silences, mut expiries) = (0, 0, 0);
        while steps < STEPS {
            let action = draw(&mut rng, &actions);
            let is_too_late = match action {
                Action::Silence => silences == SILENCES_MAX,
                Action::Expire => expiries == EXPIRIES_MAX,
                _ => false,
            };
            let Some((next, done)) = state.after(action).filter(|_| !is_too_late) else { continue };
            steps += 1;
            silences += usize::from(action == Action::Silence);
            expiries += usize::from(action == Action::Expire);
            stage.act(action, &next, done);
            state = next;
            met.insert(state.code());
            if let Some(host) = done.resumed_at {
                resumed[host] += 1;
            }
        }
        handed_over += stage.handed_over();
    }
    assert!(resumed.iter().all(|times| *times > 50), "resumed at each host: {resumed:?}");
    assert!(handed_over > 50, "sessions handed over: {handed_over}");
    assert!(met.len() > 4_000, "states of the model: {}", met.len());
}
