//! Two nodes, etcd, and `HAProxy` in front of them. All of it is on this machine.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use super::node::{NodeAccount, PatroniNode};
use crate::{
    browser::on_path,
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
    webhook::client,
};

/// How long a frozen primary stays away after another one has been promoted.
const AWAY: Duration = Duration::from_secs(3);

/// What all nodes have in common.
pub(super) struct ClusterOptions {
    pub(super) home: PathBuf,
    pub(super) account: NodeAccount,
    pub(super) etcd: u16,
    pub(super) bin_dir: PathBuf,
    pub(super) synchronous: bool,
}

/// The cluster. Dropping it ends all its processes.
pub(super) struct PatroniCluster {
    nodes: [PatroniNode; 2],
    etcd: Child,
    haproxy: Child,
    /// Where `HAProxy` listens.
    port: u16,
    synchronous: bool,
    client: reqwest::Client,
    home: TempDir,
}

/// A free port outside the range of ephemeral ports.
pub(super) fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| rand::random_range(10_000..=30_000_u16));
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

impl PatroniCluster {
    /// Starts it, and waits until the second node is a standby. `HAProxy` ends the sessions of a
    /// node that is the primary no more, or leaves them open, which is its default.
    pub(super) async fn start(synchronous: bool, ends_sessions: bool) -> Self {
        for program in ["patroni", "patronictl", "etcd", "haproxy"] {
            assert!(
                on_path(program).is_some(),
                "{program} is missing: run script/failover"
            );
        }
        let home = tempfile::Builder::new()
            .prefix("pigeonhole-failover-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let account = NodeAccount::find();
        account.give(home.path());
        let (etcd_port, peer) = (free_port(), free_port());
        let urls = [etcd_port, peer].map(|port| format!("http://127.0.0.1:{port}"));
        let etcd = account
            .command("etcd", home.path())
            .args(["--name", "etcd", "--data-dir", "etcd"])
            .args([
                "--listen-client-urls",
                &urls[0],
                "--advertise-client-urls",
                &urls[0],
            ])
            .args(["--listen-peer-urls", &urls[1]])
            .args(["--initial-advertise-peer-urls", &urls[1]])
            .args(["--initial-cluster", &format!("etcd={}", urls[1])])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let options = ClusterOptions {
            home: home.path().to_path_buf(),
            account,
            etcd: etcd_port,
            bin_dir: bin_dir(),
            synchronous,
        };
        let nodes = ["a", "b"].map(|name| PatroniNode::start(name, &options));
        let port = free_port();
        let file = home.path().join("haproxy.cfg");
        fs::write(&file, haproxy(port, &nodes, ends_sessions)).unwrap();
        account.give(&file);
        let haproxy = account
            .command("haproxy", home.path())
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let cluster = Self {
            nodes,
            etcd,
            haproxy,
            port,
            synchronous,
            client: client(),
            home,
        };
        cluster.wait_until_healthy(4 * PATIENCE).await;
        cluster
    }

    fn url(port: u16, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// Creates a database, and returns its URL by way of `HAProxy`.
    pub(super) async fn create_database(&self, name: &str) -> String {
        let mut conn = eventually("HAProxy has a primary", 2 * PATIENCE, async || {
            PgConnection::connect(&Self::url(self.port, "postgres"))
                .await
                .ok()
        })
        .await;
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut conn)
            .await
            .unwrap();
        Self::url(self.port, name)
    }

    /// The URL of a database at the node that is the primary now.
    pub(super) async fn url_of_primary(&self, database: &str) -> String {
        let at = self.primary().await.expect("there is a primary");
        Self::url(self.nodes[at].port, database)
    }

    /// The node that says that it is the primary.
    async fn primary(&self) -> Option<usize> {
        for (at, node) in self.nodes.iter().enumerate() {
            if !node.is_killed() && !node.is_frozen() {
                let url = format!("http://127.0.0.1:{}/primary", node.rest);
                let answer = self.client.get(url).timeout(Duration::from_secs(2)).send();
                if answer.await.is_ok_and(|answer| answer.status() == 200) {
                    return Some(at);
                }
            }
        }
        None
    }

    /// The roles of the members that run and follow, as the primary sees them. A member that was the
    /// primary is on an older timeline until it has been rewound.
    async fn roles(&self) -> Vec<String> {
        let Some(at) = self.primary().await else {
            return Vec::new();
        };
        let url = format!("http://127.0.0.1:{}/cluster", self.nodes[at].rest);
        let Ok(answer) = self.client.get(url).send().await else {
            return Vec::new();
        };
        let cluster: Value = answer.json().await.unwrap_or_default();
        let members = cluster["members"].as_array().cloned().unwrap_or_default();
        let leader = members.iter().find(|member| member["role"] == "leader");
        let timeline = leader.map(|leader| leader["timeline"].clone());
        members
            .iter()
            .filter(|member| {
                ["running", "streaming"].contains(&member["state"].as_str().unwrap_or(""))
            })
            .filter(|member| Some(&member["timeline"]) == timeline.as_ref())
            .map(|member| member["role"].as_str().unwrap_or("").to_owned())
            .collect()
    }

    /// Waits until there is a primary, and a standby that may be promoted.
    pub(super) async fn wait_until_healthy(&self, limit: Duration) {
        let standby = if self.synchronous {
            "sync_standby"
        } else {
            "replica"
        };
        eventually("a primary and a standby run", limit, async || {
            let roles = self.roles().await;
            let has = |wanted: &str| roles.iter().any(|role| role == wanted);
            (has("leader") && has(standby)).then_some(())
        })
        .await;
    }

    /// Kills Patroni and Postgres on the primary's node.
    pub(super) async fn kill_primary(&mut self) {
        let at = self.primary().await.expect("there is a primary");
        self.nodes[at].kill();
    }

    /// Stops the primary's node.
    pub(super) async fn freeze_primary(&mut self) {
        let at = self.primary().await.expect("there is a primary");
        self.nodes[at].freeze();
    }

    /// Switches over as soon as Patroni finds a candidate: a standby that has just been rewound may
    /// stop once more.
    pub(super) async fn switch_over(&self) {
        eventually("Patroni switches over", 2 * PATIENCE, async || {
            self.try_to_switch_over().await.then_some(())
        })
        .await;
    }

    async fn try_to_switch_over(&self) -> bool {
        let home = self.home.path();
        let mut command = NodeAccount::find().command("patronictl", home);
        let configuration = self.nodes[0].configuration();
        command
            .arg("-c")
            .arg(configuration)
            .args(["switchover", "--force"]);
        let output = tokio::process::Command::from(command)
            .output()
            .await
            .unwrap();
        String::from_utf8_lossy(&output.stdout).contains("Successfully switched over")
    }

    /// Undoes the fault once another node is the primary, and waits until both nodes run.
    pub(super) async fn heal(&mut self) {
        eventually("a node is the primary", 4 * PATIENCE, async || {
            self.primary().await
        })
        .await;
        if self.nodes.iter().any(PatroniNode::is_frozen) {
            tokio::time::sleep(AWAY).await;
        }
        for node in &mut self.nodes {
            node.thaw();
            if node.is_killed() {
                node.launch();
            }
        }
    }
}

impl Drop for PatroniCluster {
    fn drop(&mut self) {
        for child in [&mut self.haproxy, &mut self.etcd] {
            child.kill().ok(); // it may have ended
            child.wait().ok();
        }
    }
}

/// The directory of the server's binaries, as Patroni needs all of them.
fn bin_dir() -> PathBuf {
    let chosen = test_run_variable("PIGEONHOLE_POSTGRES_BIN").map(PathBuf::from);
    let own = || {
        let output = std::process::Command::new("pg_config")
            .arg("--bindir")
            .output();
        let output = output.expect("pg_config").stdout;
        PathBuf::from(String::from_utf8(output).unwrap().trim())
    };
    chosen.unwrap_or_else(own)
}

fn haproxy(port: u16, nodes: &[PatroniNode], ends_sessions: bool) -> String {
    let sessions = if ends_sessions {
        "on-marked-down shutdown-sessions"
    } else {
        ""
    };
    let server = |node: &PatroniNode| {
        let PatroniNode {
            name, port, rest, ..
        } = node;
        format!("  server {name} 127.0.0.1:{port} check port {rest}\n")
    };
    let servers: Vec<String> = nodes.iter().map(server).collect();
    let servers = servers.concat();
    format!(
        "global\n  maxconn 1000\n\
         defaults\n  mode tcp\n  timeout connect 4s\n  timeout client 30m\n  timeout server 30m\n  timeout check 5s\n\
         listen primary\n  bind 127.0.0.1:{port}\n  option httpchk OPTIONS /primary\n  \
         http-check expect status 200\n  default-server inter 1s fall 3 rise 2 {sessions}\n{servers}"
    )
}
