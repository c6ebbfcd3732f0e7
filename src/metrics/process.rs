//! What a process knows of itself: its version, its runtime, its database connections, and its disk.

use ::metrics::{Unit, describe_gauge, gauge};

use crate::services::Role;

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
        "Tasks that could run now and wait for a thread, in the runtime's global queue"
    );
    describe_gauge!(
        DATABASE_CONNECTIONS,
        Unit::Count,
        "Database connections of this process for requests and jobs, by state: idle, in_use"
    );
    describe_gauge!(
        DATABASE_CONNECTIONS_MAX,
        Unit::Count,
        "How many of these there may be: DATABASE_POOL_MAX"
    );
    describe_gauge!(
        MEDIA_DISK_FREE,
        Unit::Bytes,
        "What is free, for us, of the disk with the media store's folder"
    );
    describe_gauge!(
        MEDIA_DISK_SIZE,
        Unit::Bytes,
        "How large the disk with the media store's folder is"
    );
    metrics_process::Collector::default().describe();
}
