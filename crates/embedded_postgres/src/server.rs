//! A running server, from the caller's side.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    PostgresSettings, StartError, StopError,
    account::Account,
    binaries, kept, log, postmaster,
    scratch::Scratch,
    settings,
    supervisor::{Plan, Stop, Supervisor},
    wait,
};

/// `initdb` and start take between half a second and three, on a machine that is not busy.
const START_LIMIT: Duration = Duration::from_mins(2);
/// A clean stop writes everything out first.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// A Postgres server of our own. Dropping it stops it, and so does the end of this process, however
/// it ends.
pub struct PostgresServer {
    account: Account,
    bin_dir: PathBuf,
    base: PathBuf,
    pub(crate) socket_dir: PathBuf,
    parameters: Vec<(String, String)>,
    durable: bool,
    /// Locked by us and by each supervisor.
    lock: File,
    supervisor: Option<Supervisor>,
    /// All of a temporary server, or the socket of one whose own directory has too long a name.
    /// Dropped last.
    scratch: Option<Scratch>,
}

impl PostgresServer {
    /// Starts a server on new data, which is thrown away with it. Made for tests: fast, and nothing
    /// survives.
    pub fn start_temporary(settings: PostgresSettings) -> Result<Self, StartError> {
        let bin_dir = binaries::find(settings.bin_dir.as_deref(), None)?;
        let account = Account::for_data(None)?;
        let scratch = Scratch::create(&account)?;
        let base = scratch.path().to_path_buf();
        Self {
            account,
            bin_dir,
            socket_dir: base.clone(),
            base,
            parameters: settings.over(settings::TEMPORARY),
            durable: false,
            lock: scratch.lock()?,
            supervisor: None,
            scratch: Some(scratch),
        }
        .started()
    }

    /// Starts a server on the data in this directory, which is made if need be and stays. For
    /// `pigeonhole dev`.
    pub fn start_kept(dir: &Path, settings: PostgresSettings) -> Result<Self, StartError> {
        let kept = kept::Kept::open(dir, settings.bin_dir.as_deref())?;
        let scratch = kept
            .needs_short_socket_dir()
            .then(|| Scratch::create(&kept.account));
        let scratch = scratch.transpose()?;
        let socket_dir = scratch
            .as_ref()
            .map_or(&*kept.base, Scratch::path)
            .to_path_buf();
        Self {
            account: kept.account,
            bin_dir: kept.bin_dir,
            socket_dir,
            base: kept.base,
            parameters: settings.over(&[]),
            durable: true,
            lock: kept.lock,
            supervisor: None,
            scratch,
        }
        .started()
    }

    /// Where this server's programs are: `pg_dump`, `psql` and the like, of the same version.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.base.join("log")
    }

    /// The directory of the data, the log and, unless its name is too long, the socket.
    pub fn dir(&self) -> &Path {
        &self.base
    }

    /// The number of the server's main process, if it runs.
    pub fn process_id(&self) -> Option<i32> {
        postmaster::pid(&self.data()).map(|pid| pid.as_raw_nonzero().get())
    }

    /// Stops the server cleanly; [`Self::start_again`] starts it again on the same data.
    pub fn stop(&mut self) -> Result<(), StopError> {
        self.stop_by(Stop::Fast)
    }

    /// Stops the server as a crash would; [`Self::start_again`] then makes it recover.
    pub fn stop_immediate(&mut self) -> Result<(), StopError> {
        self.stop_by(Stop::Immediate)
    }

    /// Starts the server again, on the same data and address, after it was stopped or has crashed.
    /// One that still runs is stopped cleanly first.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        // Also after a crash: its last processes may still be ending, and Postgres does not start
        // beside them.
        self.stop().ok(); // if it does not stop, the start says so
        // The old supervisor goes only when there is a new one: at any time one of them would clean
        // up after us.
        let ended = self.supervisor.take();
        let started = self.start();
        if let Some(ended) = ended {
            ended.dismiss();
        }
        started
    }

    fn started(mut self) -> Result<Self, StartError> {
        self.start()?;
        Ok(self)
    }

    fn start(&mut self) -> Result<(), StartError> {
        let data = self.data();
        let stale = postmaster::file(&data);
        let plan = Plan {
            bin_dir: &self.bin_dir,
            base: &self.base,
            socket_dir: &self.socket_dir,
            remove: self.scratch.as_ref().map(Scratch::path),
            durable: self.durable,
            parameters: &self.parameters,
        };
        let supervisor = Supervisor::spawn(&self.account, &plan, &self.lock)
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
            postmaster::signal(&data, how); // the supervisor was killed: nobody else would
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
            postmaster::signal(&data, how); // the supervisor was killed: nobody else would
            wait::until(STOP_LIMIT, || supervisor.postgres_has_ended());
        }
    }
}
