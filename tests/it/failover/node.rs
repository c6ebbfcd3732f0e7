//! One node: a Patroni with its Postgres.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::cluster::{ClusterOptions, free_port};

/// The account that Postgres runs as, if the tests run as root.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeAccount(Option<(u32, u32)>);

impl NodeAccount {
    pub(super) fn find() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self(None);
        }
        let id = |option: &str| -> u32 {
            let output = Command::new("id").args([option, "postgres"]).output();
            let output = output.unwrap().stdout;
            String::from_utf8(output).unwrap().trim().parse().unwrap()
        };
        Self(Some((id("-u"), id("-g"))))
    }

    pub(super) fn command(self, program: &str, home: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("HOME", home)
            .current_dir(home)
            .stdin(Stdio::null());
        if let Self(Some((uid, gid))) = self {
            command.gid(gid).uid(uid);
        }
        command
    }

    pub(super) fn give(self, path: &Path) {
        if let Self(Some((uid, gid))) = self {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
        }
    }
}

/// A Patroni with its Postgres. Dropping it ends both.
pub(super) struct PatroniNode {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) rest: u16,
    home: PathBuf,
    account: NodeAccount,
    /// `None` while it is killed.
    patroni: Option<Child>,
    /// The processes that were stopped with SIGSTOP.
    frozen: Vec<Pid>,
}

impl PatroniNode {
    pub(super) fn start(name: &'static str, options: &ClusterOptions) -> Self {
        let mut node = Self {
            name,
            port: free_port(),
            rest: free_port(),
            home: options.home.clone(),
            account: options.account,
            patroni: None,
            frozen: Vec::new(),
        };
        let file = node.configuration();
        fs::write(&file, node.yaml(options)).unwrap();
        node.account.give(&file);
        node.launch();
        node
    }

    /// The file with Patroni's settings.
    pub(super) fn configuration(&self) -> PathBuf {
        self.home.join(format!("{}.yml", self.name))
    }

    fn data(&self) -> PathBuf {
        self.home.join(self.name)
    }

    /// With these times, a lost primary is replaced within about 25 s. They are shorter than
    /// Patroni's defaults.
    fn yaml(&self, options: &ClusterOptions) -> String {
        let Self {
            name, port, rest, ..
        } = self;
        let ClusterOptions {
            etcd,
            bin_dir,
            synchronous,
            ..
        } = options;
        let (home, data) = (self.home.display(), self.data());
        let (data, bin_dir) = (data.display(), bin_dir.display());
        format!(
            r#"
scope: pigeonhole
name: {name}
restapi: {{listen: "127.0.0.1:{rest}", connect_address: "127.0.0.1:{rest}"}}
etcd3: {{hosts: "127.0.0.1:{etcd}"}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 3
    retry_timeout: 5
    # A standby that lags is promoted, too: recovery then has the most to do.
    maximum_lag_on_failover: 1073741824
    synchronous_mode: {synchronous}
    synchronous_mode_strict: {synchronous}
    postgresql:
      use_pg_rewind: true
      parameters: {{wal_log_hints: "on", max_connections: 200, wal_keep_size: 512MB}}
      pg_hba: ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
  initdb: [{{encoding: UTF8}}, {{locale: C}}]
postgresql:
  listen: "127.0.0.1:{port}"
  connect_address: "127.0.0.1:{port}"
  data_dir: {data}
  bin_dir: {bin_dir}
  pgpass: {home}/{name}.pgpass
  authentication:
    superuser: {{username: postgres, password: unused}}
    replication: {{username: replicator, password: unused}}
  parameters: {{unix_socket_directories: "{home}"}}
"#
        )
    }

    /// Starts Patroni, which starts Postgres.
    pub(super) fn launch(&mut self) {
        let log = self.home.join(format!("{}.log", self.name));
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .unwrap();
        let mut patroni = self.account.command("patroni", &self.home);
        patroni
            .arg(self.configuration())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.patroni = Some(patroni.spawn().unwrap());
    }

    fn postmaster(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let pid: i32 = file.lines().next()?.trim().parse().ok()?;
        // The file outlives a crash, and another process may have the number by now.
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = String::from_utf8_lossy(&line).contains(self.data().to_str()?);
        Pid::from_raw(pid).filter(|_| ours)
    }

    /// Kills Patroni and Postgres, as the loss of the machine does.
    pub(super) fn kill(&mut self) {
        // Patroni first: it would start Postgres again.
        if let Some(mut patroni) = self.patroni.take() {
            patroni.kill().ok(); // it may have ended
            patroni.wait().ok();
        }
        if let Some(postmaster) = self.postmaster() {
            kill_process(postmaster, Signal::KILL).ok(); // its children follow it
        }
    }

    pub(super) fn is_killed(&self) -> bool {
        self.patroni.is_none()
    }

    /// Stops Patroni and all processes of Postgres.
    pub(super) fn freeze(&mut self) {
        let patroni = self.patroni.as_ref().map(Pid::from_child);
        self.frozen = patroni.into_iter().chain(self.postmaster()).collect();
        for process in &self.frozen {
            kill_process(*process, Signal::STOP).unwrap();
        }
        if let Some(postmaster) = self.postmaster() {
            for child in children(postmaster) {
                if kill_process(child, Signal::STOP).is_ok() {
                    self.frozen.push(child);
                }
            }
        }
    }

    /// Continues what was frozen.
    pub(super) fn thaw(&mut self) {
        for process in self.frozen.drain(..).rev() {
            kill_process(process, Signal::CONT).ok(); // a session may have ended
        }
    }

    pub(super) fn is_frozen(&self) -> bool {
        !self.frozen.is_empty()
    }
}

impl Drop for PatroniNode {
    fn drop(&mut self) {
        self.thaw();
        self.kill();
    }
}

/// The processes that this one has started.
fn children(parent: Pid) -> Vec<Pid> {
    let pid = parent.as_raw_nonzero();
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|child| Pid::from_raw(child.parse().ok()?))
        .collect()
}
