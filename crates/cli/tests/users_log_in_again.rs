//! A host may ask its users to log in again, which disturbs nobody.

#![cfg(unix)]

mod common;

use common::{Folder, Program};

#[test]
fn a_user_logs_in_again_when_asked_and_goes_on_talking() {
    let folder = Folder::new("login-again");
    let (host, at, key) = Program::serve_native(&folder, &["--login-again", "0.2"]);
    let args = ["connect", &at.to_string(), "--host-key", &key, "--name", "ann", "--no-beats"];
    let mut ann = Program::start(&args);
    ann.wait_for("ReauthAsked");
    ann.wait_for("Reauthenticated");
    ann.type_line("still here");
    ann.wait_for("still here");
    let (_, told) = host.stop();
    assert!(told.contains("Reauthenticated"), "{told}");
    assert_eq!(told.matches("LoginStarted").count(), 1, "{told}");
}
