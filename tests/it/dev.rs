//! `dev` runs everything in one process, can be restarted on the same data, and leaves nothing
//! running.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    process::{program, run},
    settings::{ProgramSettings, hex},
    wait::{PATIENCE, eventually},
};

/// The data directory of a `dev`. Dropping it removes the directory.
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    pub(crate) fn new() -> Self {
        // Outside our target directory: if we run as root, Postgres runs under another account,
        // which must be able to enter.
        Self(std::env::temp_dir().join(format!("pigeonhole-dev-{}", &hex()[..12])))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Every process that has this directory on its command line.
    fn processes(&self) -> Vec<String> {
        let output = Command::new("ps")
            .args(["-A", "-ww", "-o", "pid=,args="])
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = |line: &&str| line.contains(self.0.to_str().unwrap());
        output.lines().filter(ours).map(str::to_owned).collect()
    }

    pub(crate) async fn wait_until_left_alone(&self) {
        eventually("every process has exited", PATIENCE, async || {
            self.processes().is_empty().then_some(())
        })
        .await;
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Postgres and its launcher are searched on the path. `dev` reads nothing else from the
/// environment.
fn environment() -> ProgramSettings {
    let path = std::env::var_os("PATH").unwrap();
    ProgramSettings::none().with("PATH", path.to_str().unwrap())
}

fn arguments(dir: &DataDir) -> Vec<String> {
    // Fixed ports, because other tests on this machine may run a `dev` too. They are outside the
    // range of ephemeral ports, so no connection can take one before `dev` listens on it.
    let free = || {
        let ports = std::iter::repeat_with(|| rand::random_range(10_000..=30_000));
        let mut addrs = ports.map(|port: u16| format!("127.0.0.1:{port}"));
        addrs.find(|addr| TcpListener::bind(addr).is_ok()).unwrap()
    };
    let dir = dir.path().to_str().unwrap();
    let (listen, admin, demo) = (free(), free(), free());
    [
        "dev",
        "--data-dir",
        dir,
        "--listen-addr",
        &listen,
        "--admin-addr",
        &admin,
        "--demo-addr",
        &demo,
    ]
    .map(str::to_owned)
    .into()
}

/// A running `dev`. Dropping it kills it.
pub(crate) struct DevProcess {
    process: tokio::process::Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl DevProcess {
    pub(crate) async fn start(dir: &DataDir) -> Self {
        let mut command = program(&environment());
        command.args(arguments(dir)).stdout(Stdio::piped());
        let mut process = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = said.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                saying.lock().unwrap().push(line);
            }
        });
        let dev = Self { process, said };
        dev.wait_for_output("Ctrl-C stops everything").await;
        dev
    }

    /// Kills it, as `kill -9` does.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Waits until it has printed this, and returns the rest of that line.
    pub(crate) async fn wait_for_output(&self, what: &str) -> String {
        let awaited = format!("dev says {what:?}");
        eventually(&awaited, PATIENCE, async || {
            let said = self.said.lock().unwrap();
            let mut rests = said.iter().filter_map(|line| line.split_once(what));
            rests.next().map(|(_, rest)| rest.to_owned())
        })
        .await
    }

    /// The number of printed lines that contain this.
    pub(crate) fn count_lines(&self, what: &str) -> usize {
        let said = self.said.lock().unwrap();
        said.iter().filter(|line| line.contains(what)).count()
    }

    /// The URL of its demo page.
    pub(crate) async fn demo_url(&self) -> String {
        let line = self.wait_for_output("demo page").await;
        line.split_whitespace().next().unwrap().to_owned()
    }
}

/// Runs `dev` until its samples are processed.
pub(crate) async fn run_once(dir: &DataDir) {
    let mut arguments = arguments(dir);
    arguments.push("--once".to_owned());
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let ran = run(&arguments, &environment()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // All samples, although a message of an earlier run may also end now.
    for shown in [
        "tag: RustConf",
        "field / location: Brandenburg Gate",
        "tag: contact",
        " ignored_unlinked in ",
    ] {
        assert!(ran.stdout.contains(shown), "{shown:?}: {}", ran.stdout);
    }
    assert_eq!(dir.processes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_killed_dev_leaves_no_postgres_running_and_its_data_is_intact() {
    let dir = DataDir::new();
    let dev = DevProcess::start(&dir).await;

    let env_file = dir.path().join("dev.env");
    let simulate = [
        "--env-file",
        env_file.to_str().unwrap(),
        "simulate",
        "--body",
        "Lunch",
    ];
    let ran = run(&simulate, &ProgramSettings::none()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("1 × HTTP 200"), "{}", ran.stdout);

    assert!(dir.processes().len() > 1, "Postgres is not seen");
    dev.kill().await;
    dir.wait_until_left_alone().await;
    run_once(&dir).await;
}

#[tokio::test]
async fn dev_runs_again_on_the_same_data_and_adds_secrets_that_an_earlier_version_lacked() {
    let dir = DataDir::new();
    run_once(&dir).await;
    run_once(&dir).await;
    let path = dir.path().join("secrets.env");
    let complete = fs::read_to_string(&path).unwrap();
    let without_newest = |file: &str| -> String {
        let lines = file.split_inclusive('\n');
        lines
            .filter(|line| !line.starts_with("JWT_SECRET="))
            .collect()
    };
    let earlier = without_newest(&complete);
    assert_ne!(earlier, complete);
    fs::write(&path, &earlier).unwrap();

    run_once(&dir).await;
    let now = fs::read_to_string(&path).unwrap();
    assert_eq!(without_newest(&now), earlier);
    assert_ne!(now, earlier, "the missing secret was added");
    assert_ne!(now, complete, "the new secret differs from the removed one");
}
