//! The real program, run as separate processes.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    settings::{ProgramSettings, hex},
    wait::{PATIENCE, eventually},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pigeonhole");

/// The program with only these settings: it inherits no environment and finds no `.env` file.
pub(crate) fn program(settings: &ProgramSettings) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .envs(settings.variables())
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// A running process of the program. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `receiver`, `worker` or `serve`.
    pub(crate) fn start(subcommand: &str, settings: &ProgramSettings) -> Self {
        Self::spawn(program(settings).arg(subcommand), subcommand)
    }

    /// Starts it from a shell that has run this command first.
    pub(crate) fn start_after(shell: &str, subcommand: &str, settings: &ProgramSettings) -> Self {
        let program = program(settings);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{shell} && exec \"$0\" \"$1\"")])
            .arg(program.get_program())
            .arg(subcommand)
            .env_clear()
            .envs(settings.variables())
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::null());
        Self::spawn(&mut command, subcommand)
    }

    fn spawn(command: &mut Command, name: &str) -> Self {
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.log", hex()));
        let child = command
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Starts it and waits until its receiver listens.
    pub(crate) async fn receiver(
        subcommand: &str,
        settings: &ProgramSettings,
    ) -> (Self, SocketAddr) {
        let process = Self::start(subcommand, settings);
        let addr = process.addr("receiver listens").await;
        (process, addr)
    }

    /// The address in the log line with this message.
    pub(crate) async fn addr(&self, message: &str) -> SocketAddr {
        let line = self.wait_for_line(message, PATIENCE).await;
        line["fields"]["addr"].as_str().unwrap().parse().unwrap()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Kills the process, as `kill -9` does.
    pub(crate) fn kill(mut self) {
        assert!(
            self.is_running(),
            "the process had already exited:\n{}",
            self.log()
        );
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until the process has exited without being killed.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let child = &mut self.child;
        eventually("the process exits", limit, async || {
            child.try_wait().unwrap()
        })
        .await
    }

    /// The whole log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The log lines, parsed as JSON (`LOG_FORMAT=json`).
    pub(crate) fn lines(&self) -> Vec<Value> {
        let log = self.log();
        // The last line may be incomplete.
        log.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits for a log line with this message.
    pub(crate) async fn wait_for_line(&self, message: &str, limit: Duration) -> Value {
        eventually(&format!("a log line {message:?}"), limit, async || {
            self.lines()
                .into_iter()
                .find(|line| line["fields"]["message"] == message)
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok(); // it may have ended
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(15).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            eprintln!("the end of a process's log:\n{}\n", tail.join("\n"));
        }
        fs::remove_file(&self.log).ok();
    }
}

/// The output and exit code of a finished command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program until it exits.
pub(crate) async fn run(arguments: &[&str], settings: &ProgramSettings) -> CommandOutput {
    let mut command = program(settings);
    command.args(arguments);
    let output = tokio::process::Command::from(command).output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .expect("it ends")
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    CommandOutput {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}
