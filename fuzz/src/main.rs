//! Runs targets: under libFuzzer where it is built in, on the files that are named otherwise.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    use std::sync::LazyLock;

    use moorline_fuzz::Target;

    static TARGET: LazyLock<&Target> = LazyLock::new(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names what to fuzz");
        moorline_fuzz::target(&name).expect("FUZZ_TARGET is one of the targets")
    });
    (TARGET.run)(data);
});

#[cfg(not(fuzzing))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let target = args.next().and_then(|name| moorline_fuzz::target(&name));
    let Some(target) = target else {
        let names: Vec<_> = moorline_fuzz::TARGETS.iter().map(|target| target.name).collect();
        return Err(
            format!("usage: moorline-fuzz TARGET FILE...; TARGET: {}", names.join(", ")).into()
        );
    };
    for file in args {
        (target.run)(&std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?);
        eprintln!("{file}: held");
    }
    Ok(())
}
