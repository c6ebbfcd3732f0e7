//! What commits wait for, as the observer and the doctor read it.

use std::time::{Duration, Instant};

use embedded_postgres::{PostgresServer, PostgresSettings};
use sqlx::{Connection, Executor, PgConnection};
use store::diagnostics::{Durability, LossCause, durability};

/// The causes for which a commit of this session can be lost.
async fn causes(conn: &mut PgConnection) -> Vec<LossCause> {
    let found = durability(conn).await.unwrap();
    let causes = LossCause::ALL.into_iter();
    causes.filter(|cause| found.may_lose(*cause)).collect()
}

/// Waits until the server sees its standbys like this.
async fn until(conn: &mut PgConnection, is_reached: impl Fn(&Durability) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_reached(&durability(conn).await.unwrap()) {
        assert!(
            Instant::now() < deadline,
            "the server does not see its standbys"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn each_setting_that_can_lose_a_commit_is_a_cause() {
    use LossCause::{AsynchronousStandby, Fsync, FullPageWrites, SynchronousCommit};
    let settings = PostgresServer::with_standbys(PostgresSettings::default());
    let server = PostgresServer::start_temporary(settings).unwrap();
    let mut conn = PgConnection::connect(&server.url("postgres"))
        .await
        .unwrap();
    // A temporary server does not wait for the disk.
    assert_eq!(causes(&mut conn).await, [Fsync, FullPageWrites]);
    conn.execute("set synchronous_commit = off").await.unwrap();
    let off = [Fsync, FullPageWrites, SynchronousCommit];
    assert_eq!(causes(&mut conn).await, off);
    conn.execute("reset synchronous_commit").await.unwrap();

    let standby = server.start_standby().await.unwrap();
    until(&mut conn, |found| found.asynchronous == 1).await;
    let with_standby = [Fsync, FullPageWrites, AsynchronousStandby];
    assert_eq!(causes(&mut conn).await, with_standby);
    let found = durability(&mut conn).await.unwrap();
    assert_eq!((found.synchronous, found.asynchronous), (0, 1));

    conn.execute("alter system set synchronous_standby_names = 'standby'")
        .await
        .unwrap();
    conn.execute("select pg_reload_conf()").await.unwrap();
    until(&mut conn, |found| found.synchronous == 1).await;
    assert_eq!(causes(&mut conn).await, [Fsync, FullPageWrites]);
    conn.execute("set synchronous_commit = local")
        .await
        .unwrap();
    assert_eq!(causes(&mut conn).await, with_standby);
    drop(standby);
}
