//! Our end of `supervisor.sh`, which runs one Postgres and ends it when we end, however we end.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{account::Account, wait};

const SCRIPT: &str = include_str!("supervisor.sh");

/// How Postgres is told to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ends sessions, writes everything out.
    Fast,
    /// Drops everything at once, as a crash would.
    Immediate,
}

impl Stop {
    pub(crate) fn signal(self) -> &'static str {
        match self {
            Self::Fast => "INT",
            Self::Immediate => "QUIT",
        }
    }
}

/// What a supervisor is to run.
pub(crate) struct Plan<'a> {
    pub(crate) bin_dir: &'a Path,
    /// Holds `data` and `log`.
    pub(crate) base: &'a Path,
    pub(crate) socket_dir: &'a Path,
    /// Removed once this process is gone.
    pub(crate) remove: Option<&'a Path>,
    /// Whether the data must survive a crash of the machine.
    pub(crate) durable: bool,
    pub(crate) parameters: &'a [(String, String)],
}

/// A running `supervisor.sh`.
pub(crate) struct Supervisor {
    shell: Child,
    /// Closed, by us or by the kernel, it makes the shell stop Postgres and end.
    orders: Option<ChildStdin>,
    /// Ends when no process of this Postgres is left: they all hold the pipe it reads.
    postgres: JoinHandle<()>,
}

impl Supervisor {
    /// Starts Postgres, after `initdb` if there is no data yet. `lock` stays locked until the
    /// supervisor ends.
    pub(crate) fn spawn(account: &Account, plan: &Plan<'_>, lock: &File) -> io::Result<Self> {
        let on_our_death = if plan.durable {
            Stop::Fast
        } else {
            Stop::Immediate
        };
        let mut command = account.command("sh");
        // Through the environment, as the list of processes shows arguments.
        command
            .env("SUPERVISOR", SCRIPT)
            .args(["-c", "eval \"$SUPERVISOR\"", "embedded_postgres"]);
        command.arg(plan.bin_dir).arg(plan.base);
        command.arg(if plan.durable { "" } else { "--no-sync" });
        command
            .arg(plan.remove.unwrap_or(Path::new("")))
            .arg(on_our_death.signal());
        command
            .args(["-c", "listen_addresses=", "-p", "5432", "-k"])
            .arg(plan.socket_dir);
        for (parameter, value) in plan.parameters {
            command.arg("-c").arg(format!("{parameter}={value}"));
        }
        // Postgres reads these, and they are meant for some other server.
        for meant_for_others in [
            "PGDATA",
            "PGPORT",
            "PGTZ",
            "PGDATESTYLE",
            "PGCLIENTENCODING",
        ] {
            command.env_remove(meant_for_others);
        }
        command.env("LC_ALL", "C").current_dir("/");
        // A terminal's Ctrl-C goes to a whole group: it must reach us only, who then stop Postgres
        // in order.
        command.process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(lock.try_clone()?);

        let mut shell = command.spawn()?;
        let orders = shell.stdin.take();
        let alive = shell.stdout.take();
        let postgres = thread::spawn(move || {
            // Nothing is ever written: this returns when the last writer has closed.
            alive.map(|mut alive| alive.read_to_end(&mut Vec::new()));
        });
        Ok(Self {
            shell,
            orders,
            postgres,
        })
    }

    /// Whether no process of this Postgres is left.
    pub(crate) fn postgres_has_ended(&self) -> bool {
        self.postgres.is_finished()
    }

    /// Tells the shell to stop Postgres. Errors if the shell is gone.
    pub(crate) fn order_stop(&mut self, how: Stop) -> io::Result<()> {
        self.order(how.signal())
    }

    /// Ends a supervisor whose Postgres has ended, leaving its directories to the next one.
    pub(crate) fn dismiss(mut self) {
        self.order("leave").ok(); // it is gone already if this fails
        self.end(Duration::from_secs(5));
    }

    /// Closes the pipe and waits until the shell has stopped Postgres and removed what was
    /// temporary.
    pub(crate) fn end(&mut self, limit: Duration) -> bool {
        self.orders = None;
        wait::until(limit, || !matches!(self.shell.try_wait(), Ok(None)))
    }

    fn order(&mut self, order: &str) -> io::Result<()> {
        match &mut self.orders {
            Some(orders) => writeln!(orders, "{order}"),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
