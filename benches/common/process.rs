//! Child processes of a benchmark.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdin, Command, Stdio},
};

/// This program again, as a process that ends when its standard input closes.
pub(crate) struct BenchProcess {
    child: Child,
    _stdin: ChildStdin,
}

impl Drop for BenchProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl BenchProcess {
    /// Starts it with this variable. Returns the first line that it prints, which is its address.
    /// It logs nowhere.
    pub(crate) fn start(variable: &str, value: &str) -> (Self, String) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(variable, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let process = Self {
            child,
            _stdin: stdin,
        };
        (process, line.trim().to_owned())
    }

    /// Its peak memory.
    pub(crate) fn peak_mib(&self) -> u64 {
        let file = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(file).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|text| text.trim().trim_end_matches(" kB").trim().parse().ok());
        kib.unwrap_or(0_u64) / 1024
    }
}

/// Waits until standard input closes, which is when the benchmark ends.
pub(crate) async fn until_stdin_closes() {
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    ended.await.unwrap().unwrap();
}
