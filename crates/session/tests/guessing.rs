//! Whoever guesses at passwords waits, and nobody else does.

mod support;

use moorline_link::{Refusal, RefusalCode};
use moorline_session::{
    DialerConfig, EventKind, ReconnectMode, ReconnectPolicy, Session, SessionId, State,
};
use support::{Answers, World, client_config, first, host_config, login, ms, secs};

/// How many logins of strangers the application was asked about while they guessed for so long.
struct Guessed {
    asked: usize,
    refused: usize,
}

/// Everyone at 198.51.100.7 is wrong about their password.
fn is_guesser(world: &World, session: SessionId) -> bool {
    let session = world.host().sessions().by_id(session);
    let address = session.and_then(Session::address);
    address.is_some_and(|address| address.ip().to_string() == "198.51.100.7")
}

/// A host, and twenty connections of a stranger who guesses at the password of ann.
fn besieged() -> World {
    // They need not connect anew for each guess, nor wait when they are told to.
    let mut config = host_config();
    config.limits.login_time = secs(1_000);
    let mut world = World::new(1, config);
    world.answers = Answers::Later;
    for number in 0..20 {
        let reconnect =
            ReconnectPolicy { mode: ReconnectMode::Manual, ..ReconnectPolicy::default() };
        let config = DialerConfig { login: None, reconnect, ..client_config("guesser") };
        let guesser = world.add_client(config);
        world.place(guesser, &format!("198.51.100.7:{}", 5_000 + number));
        world.connect(guesser);
    }
    world.drive(ms(200));
    world
}

/// Guesses with every connection that may, each millisecond, and answers whoever is asked about.
fn guess(world: &mut World, times: usize) -> Guessed {
    let mut guessed = Guessed { asked: 0, refused: 0 };
    for _ in 0..times {
        for guesser in 0..20 {
            let now = world.now;
            // One whose guess is not answered yet cannot guess again.
            world.client(guesser).login(now, login("ann")).ok();
        }
        world.drive(ms(1));
        for session in std::mem::take(&mut world.asked) {
            let now = world.now;
            let is_guess = is_guesser(world, session);
            let answered = if is_guess {
                guessed.asked += 1;
                let no = Refusal::new(RefusalCode::BadCredentials, "wrong name or password");
                world.host_mut().refuse_login(now, session, no)
            } else {
                world.host_mut().accept_login(now, session, None, vec![]).map(drop)
            };
            guessed.refused += usize::from(is_guess && answered.is_ok());
        }
    }
    guessed
}

#[test]
fn a20_of_all_guesses_the_application_is_asked_about_a_few() {
    let mut world = besieged();
    let guessed = guess(&mut world, 20_000);
    assert!((10..=24).contains(&guessed.refused), "{}", guessed.refused);
    // Those that were asked about before the first of them was refused come on top.
    assert!(guessed.asked <= 20 + 20, "{}", guessed.asked);
    let delayed = world.host().counters().logins_delayed;
    assert!(delayed > 3_000, "the others were told to wait: {delayed}");
}

#[test]
fn a20_the_one_who_is_guessed_at_and_others_log_in_at_once() {
    let mut world = besieged();
    guess(&mut world, 5_000);
    for name in ["ann", "bob"] {
        let user = world.add_client(client_config(name));
        let began_at = world.now;
        world.connect(user);
        guess(&mut world, 300);
        assert_eq!(world.state(user), State::LoggedIn, "{name}");
        let logged_in = first(&world.clients[user].events, EventKind::LoginSucceeded).at;
        assert!(logged_in.since(began_at) < ms(200), "{name}");
    }
}

#[test]
fn a20_who_waits_as_long_as_they_are_told_may_try_again() {
    let mut world = besieged();
    guess(&mut world, 1_000);
    let told = world.clients[0].dialer.session().failure().cloned();
    let text = format!("{told:?}");
    assert!(text.contains("retry_after: Some"), "{text}");
    world.drive(secs(120));
    assert!(guess(&mut world, 1_000).refused > 0);
}
