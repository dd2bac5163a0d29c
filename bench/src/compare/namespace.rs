//! A network namespace of its own: only what is compared is counted there, and its loopback has
//! packets as large as those of an Ethernet.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Set in the program that was started again inside.
const INSIDE: &str = "MOORLINE_BENCH_NAMESPACE";

const SETUP: &str = "ip link set lo mtu 1500 up || exit 1
echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range
exec \"$@\"";

/// Whether this is such a namespace; starts the program again in one where that can be had.
pub fn enter() -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    for flags in ["-n", "-rn"] {
        let probe = Command::new("unshare")
            .args([flags, "sh", "-c", "ip link set lo mtu 1500 up"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !probe.is_ok_and(|status| status.success()) {
            continue;
        }
        let Ok(program) = std::env::current_exe() else { return false };
        // Comes back only if it failed.
        _ = Command::new("unshare")
            .args([flags, "sh", "-c", SETUP, "sh"])
            .arg(program)
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "yes")
            .exec();
    }
    false
}
