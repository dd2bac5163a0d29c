//! Every target on the bytes that are kept: what was found once stays repaired.

use std::path::Path;

use moorline_fuzz::TARGETS;

#[test]
fn on_every_target() {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        let files = std::fs::read_dir(&folder).expect("a target has a corpus");
        let mut count = 0;
        for file in files {
            let path = file.expect("a file").path();
            let bytes = std::fs::read(&path).expect("it can be read");
            let held = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(held.is_ok(), "{} on {}", target.name, path.display());
            count += 1;
        }
        assert!(count > 0, "{} has no corpus", target.name);
    }
}
