//! What `postmaster.pid` in the data directory tells of the server that runs, or ran, on it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{supervisor::Stop, wait};

/// The file, if there is one. What was there before a start tells a crashed server's file from the
/// new one's.
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

/// The process that runs on this data, if one does.
pub(crate) fn pid(data: &Path) -> Option<Pid> {
    let pid = Pid::from_raw(file(data)?.lines().next()?.trim().parse().ok()?)?;
    // The file outlives a crash and the number may be another process's by now: look at its command
    // line.
    command_line(pid).contains(data.to_str()?).then_some(pid)
}

/// Signals the process that runs on this data. For when its supervisor is gone and nobody else
/// would.
pub(crate) fn signal(data: &Path, how: Stop) {
    let signal = match how {
        Stop::Fast => Signal::INT,
        Stop::Immediate => Signal::QUIT,
    };
    if let Some(pid) = pid(data) {
        kill_process(pid, signal).ok(); // it has just ended if this fails
    }
}

/// Stops a server whose supervisor was killed. Only for who holds the lock: nobody can be using it.
pub(crate) fn end_orphan(data: &Path, how: Stop) -> bool {
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
