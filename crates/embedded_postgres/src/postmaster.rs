//! Reads `postmaster.pid` in the data directory, which describes the server that runs or ran on it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{supervisor::Stop, wait};

/// Returns the file's content, if the file exists. A caller reads it before a start, to tell the
/// file of a crashed server from the new one.
pub(crate) fn file(data: &Path) -> Option<String> {
    fs::read_to_string(data.join("postmaster.pid")).ok()
}

/// Whether a server that did not write `stale` accepts connections on this data.
pub(crate) fn is_ready(data: &Path, stale: Option<&str>) -> bool {
    // The eighth line is the server's state, since Postgres 10.
    file(data).is_some_and(|now| {
        Some(now.as_str()) != stale
            && now
                .lines()
                .nth(7)
                .is_some_and(|state| state.trim() == "ready")
    })
}

/// Returns the process that runs on this data, if there is one.
pub(crate) fn pid(data: &Path) -> Option<Pid> {
    let pid = Pid::from_raw(file(data)?.lines().next()?.trim().parse().ok()?)?;
    // The file outlives a crash, and another process may have the number by now. The command line
    // shows whether it is Postgres on this data.
    command_line(pid).contains(data.to_str()?).then_some(pid)
}

/// Signals the process that runs on this data, if its supervisor is gone.
pub(crate) fn signal(data: &Path, how: Stop) {
    let signal = match how {
        Stop::Fast => Signal::INT,
        Stop::Immediate => Signal::QUIT,
    };
    if let Some(pid) = pid(data) {
        kill_process(pid, signal).ok(); // an error means that it has just ended
    }
}

/// Stops a server whose supervisor was killed. The caller must hold the lock, so that no process
/// uses the server.
pub(crate) fn stop_orphan(data: &Path, how: Stop) -> bool {
    signal(data, how);
    wait::until(Duration::from_secs(10), || pid(data).is_none())
}

fn command_line(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero().to_string();
    if let Ok(arguments) = fs::read(Path::new("/proc").join(&pid).join("cmdline")) {
        return String::from_utf8_lossy(&arguments).into_owned();
    }
    let mut ps = Command::new("ps");
    let output = ps
        .args(["-ww", "-o", "args=", "-p", &pid])
        .stderr(Stdio::null())
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}
