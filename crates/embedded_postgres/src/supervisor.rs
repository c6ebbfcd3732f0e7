//! Starts and controls `supervisor.sh`, a shell that runs one Postgres and stops it when our
//! process ends in any way.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{account::ServerAccount, wait};

const SCRIPT: &str = include_str!("supervisor.sh");

/// How Postgres stops.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Closes sessions and writes all changes to disk.
    Fast,
    /// Exits at once, as in a crash.
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

/// The arguments of a supervisor.
pub(crate) struct SupervisorArguments<'a> {
    pub(crate) bin_dir: &'a Path,
    /// The directory of `data` and `log`.
    pub(crate) base: &'a Path,
    pub(crate) socket_dir: &'a Path,
    /// The supervisor removes this directory when our process has ended.
    pub(crate) remove: Option<&'a Path>,
    /// Whether the data must survive a crash of the machine.
    pub(crate) durable: bool,
    pub(crate) parameters: &'a [(String, String)],
}

/// A running `supervisor.sh`.
pub(crate) struct Supervisor {
    shell: Child,
    /// When we or the kernel close this pipe, the shell stops Postgres and exits.
    orders: Option<ChildStdin>,
    /// This thread ends when no process of this Postgres is left: all of them hold the pipe that it
    /// reads.
    postgres: JoinHandle<()>,
}

impl Supervisor {
    /// Starts Postgres, after `initdb` if there is no data yet. The supervisor holds `lock` until
    /// it ends.
    pub(crate) fn spawn(
        account: &ServerAccount,
        arguments: &SupervisorArguments<'_>,
        lock: &File,
    ) -> io::Result<Self> {
        let on_parent_death = if arguments.durable {
            Stop::Fast
        } else {
            Stop::Immediate
        };
        let mut command = account.command("sh");
        // The script goes through the environment: a list of processes shows arguments.
        command
            .env("SUPERVISOR", SCRIPT)
            .args(["-c", "eval \"$SUPERVISOR\"", "embedded_postgres"]);
        command.arg(arguments.bin_dir).arg(arguments.base);
        command.arg(if arguments.durable { "" } else { "--no-sync" });
        command
            .arg(arguments.remove.unwrap_or(Path::new("")))
            .arg(on_parent_death.signal());
        command
            .args(["-c", "listen_addresses=", "-p", "5432", "-k"])
            .arg(arguments.socket_dir);
        for (parameter, value) in arguments.parameters {
            command.arg("-c").arg(format!("{parameter}={value}"));
        }
        // Postgres would read these variables, which the user set for another server.
        for variable in [
            "PGDATA",
            "PGPORT",
            "PGTZ",
            "PGDATESTYLE",
            "PGCLIENTENCODING",
        ] {
            command.env_remove(variable);
        }
        command.env("LC_ALL", "C").current_dir("/");
        // A terminal sends Ctrl-C to a whole process group. It must reach only our process, which
        // then stops Postgres cleanly.
        command.process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(lock.try_clone()?);

        let mut shell = command.spawn()?;
        let orders = shell.stdin.take();
        let open_pipe = shell.stdout.take();
        let postgres = thread::spawn(move || {
            // Nothing is ever written: this returns when the last writer closes the pipe.
            open_pipe.map(|mut pipe| pipe.read_to_end(&mut Vec::new()));
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

    /// Asks the shell to stop Postgres. Fails if the shell has ended.
    pub(crate) fn order_stop(&mut self, how: Stop) -> io::Result<()> {
        self.order(how.signal())
    }

    /// Ends a supervisor whose Postgres has ended. It removes no directory, as the next supervisor
    /// uses them.
    pub(crate) fn dismiss(mut self) {
        self.order("leave").ok(); // an error means that it has already ended
        self.end(Duration::from_secs(5));
    }

    /// Closes the pipe, and waits until the shell has stopped Postgres and removed the temporary
    /// directory.
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
