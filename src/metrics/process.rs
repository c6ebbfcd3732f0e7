//! The metrics of a process about itself: its version, its runtime, its database connections, and
//! its disk.

use std::{path::PathBuf, time::Duration};

use ::metrics::{Unit, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
#[cfg(target_os = "linux")]
use metrics_process::Collector;
use queue::Pool;
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::process_identity::Role;

/// The time between two measurements. Histograms keep every recorded value until the next upkeep.
const INTERVAL: Duration = Duration::from_secs(5);

const BUILD_INFO: &str = "pigeonhole_build_info";
const RUNTIME_TASKS: &str = "pigeonhole_runtime_tasks";
const RUNTIME_QUEUE_DEPTH: &str = "pigeonhole_runtime_queue_depth";
const DATABASE_CONNECTIONS: &str = "pigeonhole_database_connections";
const DATABASE_CONNECTIONS_MAX: &str = "pigeonhole_database_connections_max";
const MEDIA_DISK_FREE: &str = "pigeonhole_media_disk_free_bytes";
const MEDIA_DISK_SIZE: &str = "pigeonhole_media_disk_size_bytes";

pub(super) fn describe() {
    describe_gauge!(
        BUILD_INFO,
        Unit::Count,
        "1, with the version of the program and the role of the process: receiver, worker, both"
    );
    describe_gauge!(
        RUNTIME_TASKS,
        Unit::Count,
        "Tasks of the async runtime that have not ended"
    );
    describe_gauge!(
        RUNTIME_QUEUE_DEPTH,
        Unit::Count,
        "Tasks that are ready and wait for a thread, in the runtime's global queue"
    );
    describe_gauge!(
        DATABASE_CONNECTIONS,
        Unit::Count,
        "Database connections of this process for requests and jobs, by state: idle, in_use"
    );
    describe_gauge!(
        DATABASE_CONNECTIONS_MAX,
        Unit::Count,
        "Largest number of these connections: DATABASE_POOL_MAX"
    );
    describe_gauge!(
        MEDIA_DISK_FREE,
        Unit::Bytes,
        "Free bytes, for this process, on the disk of the media store's folder"
    );
    describe_gauge!(
        MEDIA_DISK_SIZE,
        Unit::Bytes,
        "Size of the disk of the media store's folder"
    );
    #[cfg(target_os = "linux")]
    Collector::default().describe();
}

/// The task that measures the process.
pub(crate) struct ProcessMetrics {
    pub(crate) role: Role,
    pub(crate) pool: Pool,
    /// The media store's folder, if the store is a folder.
    pub(crate) folder: Option<PathBuf>,
    /// Collects all metrics.
    pub(crate) metrics: PrometheusHandle,
}

impl ProcessMetrics {
    /// Measures until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let version = env!("CARGO_PKG_VERSION");
        gauge!(BUILD_INFO, "version" => version, "role" => self.role.as_str()).set(1.0);
        #[cfg(target_os = "linux")]
        let process = Collector::default();
        let mut disk = None;
        while !stop.is_cancelled() {
            #[cfg(target_os = "linux")]
            process.collect();
            self.measure();
            disk = self.measure_disk(disk);
            self.metrics.run_upkeep();
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn measure(&self) {
        let runtime = Handle::current().metrics();
        gauge!(RUNTIME_TASKS).set(number(runtime.num_alive_tasks()));
        gauge!(RUNTIME_QUEUE_DEPTH).set(number(runtime.global_queue_depth()));
        let idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        let in_use = self.pool.size().saturating_sub(idle);
        gauge!(DATABASE_CONNECTIONS, "state" => "idle").set(idle);
        gauge!(DATABASE_CONNECTIONS, "state" => "in_use").set(in_use);
        gauge!(DATABASE_CONNECTIONS_MAX).set(self.pool.max_connections());
    }

    /// Measures the disk on a thread of its own. The call on a network disk may never return. Then
    /// no second thread is started.
    fn measure_disk(&self, last: Option<JoinHandle<()>>) -> Option<JoinHandle<()>> {
        let folder = self.folder.clone()?;
        match last {
            Some(last) if !last.is_finished() => Some(last),
            _ => Some(tokio::task::spawn_blocking(move || disk(&folder))),
        }
    }
}

fn disk(folder: &std::path::Path) {
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            gauge!(MEDIA_DISK_FREE).set(bytes(disk.f_bavail, disk.f_frsize));
            gauge!(MEDIA_DISK_SIZE).set(bytes(disk.f_blocks, disk.f_frsize));
        }
        Err(error) => tracing::debug!(%error, "the size of the media store's disk cannot be read"),
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a metric need not be exact to the byte"
)]
fn bytes(blocks: u64, size: u64) -> f64 {
    blocks.saturating_mul(size) as f64
}
