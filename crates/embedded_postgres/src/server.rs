//! A running server.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    account::ServerAccount,
    binaries,
    error::{StartError, StopError},
    kept::KeptDirectory,
    log, postmaster,
    settings::{self, PostgresSettings},
    supervisor::{Stop, Supervisor, SupervisorArguments},
    temporary_directory::TemporaryDirectory,
    wait,
};

/// On an idle machine, `initdb` and the start take between half a second and three seconds.
const START_LIMIT: Duration = Duration::from_mins(2);
/// A clean stop writes all changes to disk first.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// A private Postgres server. It stops when this is dropped, and when the process ends in any way.
pub struct PostgresServer {
    pub(crate) account: ServerAccount,
    bin_dir: PathBuf,
    base: PathBuf,
    pub(crate) socket_dir: PathBuf,
    parameters: Vec<(String, String)>,
    durable: bool,
    /// The lock. Each supervisor holds it as well.
    lock: File,
    supervisor: Option<Supervisor>,
    /// The directory of a temporary server, or of the socket if the server's own path is too long.
    /// It is dropped last.
    temporary: Option<TemporaryDirectory>,
}

impl PostgresServer {
    /// Starts a server on new data, which is deleted with it. For tests: it does not wait for the
    /// disk.
    pub fn start_temporary(settings: PostgresSettings) -> Result<Self, StartError> {
        let bin_dir = binaries::find(settings.bin_dir.as_deref(), None)?;
        Self::temporary(settings, bin_dir)?.started()
    }

    /// A server that has not started and has no data yet.
    pub(crate) fn temporary(
        settings: PostgresSettings,
        bin_dir: PathBuf,
    ) -> Result<Self, StartError> {
        let account = ServerAccount::for_data(None)?;
        let temporary = TemporaryDirectory::create(&account)?;
        let base = temporary.path().to_path_buf();
        Ok(Self {
            account,
            bin_dir,
            socket_dir: base.clone(),
            base,
            parameters: settings.with_defaults(settings::TEMPORARY),
            durable: false,
            lock: temporary.lock()?,
            supervisor: None,
            temporary: Some(temporary),
        })
    }

    /// Starts a server on the data in this directory and keeps the data. It creates the directory
    /// if it is missing. For `pigeonhole dev`.
    pub fn start_kept(dir: &Path, settings: PostgresSettings) -> Result<Self, StartError> {
        let kept = KeptDirectory::open(dir, settings.bin_dir.as_deref())?;
        let temporary = kept
            .needs_short_socket_dir()
            .then(|| TemporaryDirectory::create(&kept.account));
        let temporary = temporary.transpose()?;
        let socket_dir = temporary
            .as_ref()
            .map_or(&*kept.base, TemporaryDirectory::path)
            .to_path_buf();
        Self {
            account: kept.account,
            bin_dir: kept.bin_dir,
            socket_dir,
            base: kept.base,
            parameters: settings.with_defaults(&[]),
            durable: true,
            lock: kept.lock,
            supervisor: None,
            temporary,
        }
        .started()
    }

    /// The directory of this server's programs, such as `pg_dump` and `psql`.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.base.join("log")
    }

    /// The directory of the data, the log and, unless the path is too long, the socket.
    pub fn dir(&self) -> &Path {
        &self.base
    }

    /// The process id of the server's main process, if it runs.
    pub fn process_id(&self) -> Option<i32> {
        postmaster::pid(&self.data()).map(|pid| pid.as_raw_nonzero().get())
    }

    /// Stops the server cleanly. [`Self::start_again`] starts it again on the same data.
    pub fn stop(&mut self) -> Result<(), StopError> {
        self.stop_by(Stop::Fast)
    }

    /// Stops the server as a crash would. [`Self::start_again`] then recovers the data.
    pub fn stop_immediate(&mut self) -> Result<(), StopError> {
        self.stop_by(Stop::Immediate)
    }

    /// Starts the server again on the same data and address, after a stop or a crash. If it still
    /// runs, this stops it cleanly first.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        // This matters after a crash as well: Postgres does not start while processes of the old
        // server are still ending.
        self.stop().ok(); // if it does not stop, the start reports it
        // The old supervisor ends only once the new one runs, so that at any time one of them
        // cleans up if this process dies.
        let old = self.supervisor.take();
        let started = self.start();
        if let Some(old) = old {
            old.dismiss();
        }
        started
    }

    pub(crate) fn started(mut self) -> Result<Self, StartError> {
        self.start()?;
        Ok(self)
    }

    fn start(&mut self) -> Result<(), StartError> {
        let data = self.data();
        let stale = postmaster::file(&data);
        let arguments = SupervisorArguments {
            bin_dir: &self.bin_dir,
            base: &self.base,
            socket_dir: &self.socket_dir,
            remove: self.temporary.as_ref().map(TemporaryDirectory::path),
            durable: self.durable,
            parameters: &self.parameters,
        };
        let supervisor = Supervisor::spawn(&self.account, &arguments, &self.lock)
            .map_err(StartError::io("start a supervisor for Postgres"))?;
        let supervisor = self.supervisor.insert(supervisor);

        let mut ready = false;
        let in_time = wait::until(START_LIMIT, || {
            ready = postmaster::is_ready(&data, stale.as_deref());
            ready || supervisor.postgres_has_ended()
        });
        if ready {
            return Ok(());
        }
        let log_tail = log::tail(&self.log_path());
        Err(if in_time {
            StartError::Failed { log_tail }
        } else {
            StartError::TimedOut { log_tail }
        })
    }

    fn stop_by(&mut self, how: Stop) -> Result<(), StopError> {
        let data = self.data();
        let Some(supervisor) = &mut self.supervisor else {
            return Ok(());
        };
        if supervisor.order_stop(how).is_err() {
            postmaster::signal(&data, how); // the supervisor was killed
        }
        if wait::until(STOP_LIMIT, || supervisor.postgres_has_ended()) {
            Ok(())
        } else {
            Err(StopError {
                log: self.log_path(),
            })
        }
    }

    fn data(&self) -> PathBuf {
        self.base.join("data")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let how = if self.durable {
            Stop::Fast
        } else {
            Stop::Immediate
        };
        let data = self.data();
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        supervisor.end(STOP_LIMIT);
        if !supervisor.postgres_has_ended() {
            postmaster::signal(&data, how); // the supervisor was killed
            wait::until(STOP_LIMIT, || supervisor.postgres_has_ended());
        }
    }
}
