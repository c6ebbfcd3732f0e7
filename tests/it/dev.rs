//! `dev`: everything in one process, again and again on the same data, and nothing left behind.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    process::{program, run},
    settings::{Settings, hex},
    wait::{PATIENCE, eventually},
};

/// Where a `dev` keeps its data. Removed in the end.
struct DataDir(PathBuf);

impl DataDir {
    fn new() -> Self {
        // Not a folder of ours: as root, Postgres runs under another account, which must be able to enter.
        Self(std::env::temp_dir().join(format!("pigeonhole-dev-{}", &hex()[..12])))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Every process that has this folder on its command line.
    fn processes(&self) -> Vec<String> {
        let output = Command::new("ps")
            .args(["-A", "-ww", "-o", "pid=,args="])
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = |line: &&str| line.contains(self.0.to_str().unwrap());
        output.lines().filter(ours).map(str::to_owned).collect()
    }

    async fn wait_until_left_alone(&self) {
        eventually("no process is left", PATIENCE, async || {
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

/// Postgres and its launcher are looked for on the path, and `dev` reads nothing else from the environment.
fn environment() -> Settings {
    let path = std::env::var_os("PATH").unwrap();
    Settings::none().with("PATH", path.to_str().unwrap())
}

fn arguments(dir: &DataDir) -> Vec<String> {
    // Ports of its own, as other tests on this machine may run a `dev` too.
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let dir = dir.path().to_str().unwrap();
    let (listen, admin) = (free(), free());
    [
        "dev",
        "--data-dir",
        dir,
        "--listen-addr",
        &listen,
        "--admin-addr",
        &admin,
    ]
    .map(str::to_owned)
    .into()
}

async fn run_once(dir: &DataDir) {
    let mut arguments = arguments(dir);
    arguments.push("--once".to_owned());
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let ran = run(&arguments, &environment()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // All samples, although an earlier run may have left a message that ends now.
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
async fn dev_runs_twice_on_the_same_data_and_leaves_no_process_behind() {
    let dir = DataDir::new();
    run_once(&dir).await;
    run_once(&dir).await;
}

#[tokio::test]
async fn a_killed_dev_leaves_no_postgres_behind_and_its_data_is_good() {
    let dir = DataDir::new();
    let mut command = program(&environment());
    command.args(arguments(&dir)).stdout(Stdio::piped());
    let mut dev = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("Ctrl-C stops everything") {
                return;
            }
        }
        panic!("it ended");
    };
    tokio::time::timeout(PATIENCE, ready)
        .await
        .expect("dev is ready");

    let env_file = dir.path().join("dev.env");
    let simulate = [
        "--env-file",
        env_file.to_str().unwrap(),
        "simulate",
        "--body",
        "Lunch",
    ];
    let ran = run(&simulate, &Settings::none()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("1 × HTTP 200"), "{}", ran.stdout);

    assert!(dir.processes().len() > 1, "Postgres is not seen");
    dev.kill().await.unwrap();
    dir.wait_until_left_alone().await;
    run_once(&dir).await;
}
