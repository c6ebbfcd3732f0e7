//! After a kill of any process, no process and no directory stays behind.
//!
//! Each test starts this program again as a child that holds a server, and kills it.
#![expect(clippy::unwrap_used, reason = "tests may, and so may what they share")]

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use embedded_postgres::{PostgresServer, PostgresSettings, testing};

/// Not a test, but the child that the tests kill. It ends when its standard input closes.
#[test]
#[ignore = "a process for the other tests to kill"]
fn hold_a_server() {
    let hold = |server: &PostgresServer| {
        println!(
            "\nholding {} {}",
            server.process_id().unwrap(),
            server.dir().display()
        );
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
    };
    match env::var_os("HOLD_KEPT") {
        Some(dir) => {
            let settings = PostgresSettings::default();
            hold(&PostgresServer::start_kept(Path::new(&dir), settings).unwrap());
        }
        None => hold(testing::server()),
    }
}

struct Holder {
    process: Child,
    postmaster: String,
    dir: PathBuf,
    /// It must stay open while the child writes to it.
    _stdout: BufReader<ChildStdout>,
}

impl Holder {
    fn command() -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["hold_a_server", "--exact", "--ignored", "--nocapture"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn start(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut holding = String::new();
        while !holding.starts_with("holding ") {
            holding.clear();
            assert_ne!(stdout.read_line(&mut holding).unwrap(), 0, "it ended");
        }
        let mut words = holding.trim_end().splitn(3, ' ').skip(1);
        let postmaster = words.next().unwrap().to_owned();
        let dir = PathBuf::from(words.next().unwrap());
        assert!(!processes(&dir).is_empty());
        Self {
            process,
            postmaster,
            dir,
            _stdout: stdout,
        }
    }

    fn temporary() -> Self {
        Self::start(&mut Self::command())
    }

    fn kept(dir: &Path) -> Self {
        Self::start(Self::command().env("HOLD_KEPT", dir))
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn supervisor(&self) -> String {
        ps("ppid=", &self.postmaster)
    }
}

fn ps(what: &str, pid: &str) -> String {
    let output = Command::new("ps")
        .args(["-o", what, "-p", pid])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn kill_9(pid: &str) {
    assert!(
        Command::new("kill")
            .args(["-9", "--", pid])
            .status()
            .unwrap()
            .success()
    );
}

/// All processes with this directory on their command line: supervisors, and Postgres' main
/// process.
fn processes(dir: &Path) -> Vec<String> {
    let output = Command::new("ps")
        .args(["-A", "-ww", "-o", "pid=,args="])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    output
        .lines()
        .filter(|line| line.contains(dir.to_str().unwrap()))
        .map(str::to_owned)
        .collect()
}

fn eventually(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "not in time: {what}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

fn eventually_gone(dir: &Path) {
    eventually("no process left", || processes(dir).is_empty());
    eventually("no directory left", || !dir.exists());
}

/// A directory for kept data that the server's account can enter.
fn kept_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

#[test]
fn a_program_that_exits_without_dropping_the_server_leaves_nothing_behind() {
    let mut holder = Holder::temporary();
    drop(holder.process.stdin.take());
    assert!(holder.process.wait().unwrap().success());
    eventually_gone(&holder.dir);
}

#[test]
fn a_killed_program_leaves_nothing_behind() {
    let mut holder = Holder::temporary();
    holder.kill();
    eventually_gone(&holder.dir);
}

#[test]
fn a_program_killed_at_any_moment_of_its_start_leaves_nothing_behind() {
    let kill_after = |moment| {
        let mut process = Holder::command().spawn().unwrap();
        thread::sleep(moment);
        process.kill().unwrap();
        process.wait().unwrap();
        let owner = format!("{}\n", process.id());
        eventually("no directory left", || {
            let entries = fs::read_dir("/var/tmp").unwrap().flatten();
            let mut locks = entries.map(|entry| fs::read_to_string(entry.path().join("lock")));
            !locks.any(|lock| lock.is_ok_and(|lock| lock == owner))
        });
    };
    thread::scope(|scope| {
        for moment in (0..600).step_by(60).map(Duration::from_millis) {
            scope.spawn(move || kill_after(moment));
        }
    });
}

#[test]
fn after_a_kill_kept_data_is_shut_down_cleanly_and_the_next_start_waits_for_it() {
    let dir = kept_dir();
    let mut holder = Holder::kept(&dir.path().join("data"));
    holder.kill();
    let server = PostgresServer::start_kept(&holder.dir, PostgresSettings::default()).unwrap();
    let log = fs::read_to_string(server.log_path()).unwrap();
    assert!(log.contains("database system is shut down"), "{log}");
    assert!(!log.contains("automatic recovery"), "{log}");
}

#[test]
fn a_program_cleans_up_if_its_supervisor_is_killed() {
    let server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let dir = server.dir().to_path_buf();
    kill_9(&ps("ppid=", &server.process_id().unwrap().to_string()));
    drop(server);
    assert_eq!(processes(&dir), [""; 0]);
    assert!(!dir.exists());
}

#[test]
fn the_next_start_cleans_up_if_program_and_supervisor_are_killed() {
    let mut holder = Holder::temporary();
    kill_9(&holder.supervisor());
    holder.kill();
    drop(PostgresServer::start_temporary(PostgresSettings::default()).unwrap());
    eventually_gone(&holder.dir);
}

#[test]
fn the_next_start_cleans_up_if_a_process_group_is_killed() {
    let mut holder = Holder::temporary();
    kill_9(&format!("-{}", holder.supervisor()));
    holder.kill();
    drop(PostgresServer::start_temporary(PostgresSettings::default()).unwrap());
    eventually_gone(&holder.dir);
}

#[test]
fn kept_data_survives_a_kill_of_everything_except_postgres() {
    let dir = kept_dir();
    let mut holder = Holder::kept(&dir.path().join("data"));
    kill_9(&holder.supervisor());
    holder.kill();
    let server = PostgresServer::start_kept(&holder.dir, PostgresSettings::default()).unwrap();
    let first = format!("{} ", holder.postmaster);
    let left = processes(&holder.dir)
        .into_iter()
        .find(|line| line.trim_start().starts_with(&first));
    assert_eq!(left, None);
    assert!(server.process_id().is_some());
}

#[test]
fn a_terminals_interrupt_does_not_reach_the_server() {
    let server = PostgresServer::start_temporary(PostgresSettings::default()).unwrap();
    let postmaster = server.process_id().unwrap().to_string();
    assert_ne!(
        ps("pgid=", &postmaster),
        ps("pgid=", &std::process::id().to_string())
    );
}
