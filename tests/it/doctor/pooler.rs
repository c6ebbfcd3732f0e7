//! Connection poolers: a fake one that hands out connections in each relevant way, and the real
//! PgBouncer if `PGBOUNCER` names it.

use std::{
    collections::VecDeque,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex},
};

use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions, raw_sql};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

use super::DoctorHarness;
use crate::{
    settings::test_run_variable,
    wait::{PATIENCE, eventually},
};

/// When the pooler takes a client's connection back, and which connection it hands out next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PoolerMode {
    Session,
    LastBackFirst,
    EachInTurn,
}

struct FakePooler {
    mode: PoolerMode,
    socket: PathBuf,
    idle: Mutex<VecDeque<UnixStream>>,
}

impl FakePooler {
    /// A server connection, and the server's greeting for a new client.
    async fn connect(&self, startup: &[u8]) -> (UnixStream, Vec<u8>) {
        let mut server = UnixStream::connect(&self.socket).await.unwrap();
        server.write_all(startup).await.unwrap();
        let (greeting, _) = until_ready(&mut server).await;
        (server, greeting)
    }

    fn give_back(&self, server: UnixStream) {
        let mut idle = self.idle.lock().unwrap();
        match self.mode {
            PoolerMode::Session => {}
            PoolerMode::LastBackFirst => idle.push_front(server),
            PoolerMode::EachInTurn => idle.push_back(server),
        }
    }

    async fn serve(self: Arc<Self>, mut client: TcpStream) -> Option<()> {
        let length = client.read_u32().await.ok()?;
        let mut startup = length.to_be_bytes().to_vec();
        startup.resize(usize::try_from(length).unwrap(), 0);
        client.read_exact(&mut startup[4..]).await.ok()?;
        let (server, greeting) = self.connect(&startup).await;
        client.write_all(&greeting).await.ok()?;
        let mut held = Some(server);
        if self.mode != PoolerMode::Session {
            self.give_back(held.take()?);
        }
        while let Some(message) = message(&mut client).await {
            let idle = || self.idle.lock().unwrap().pop_front();
            let mut server = match held.take().or_else(idle) {
                Some(server) => server,
                None => self.connect(&startup).await.0,
            };
            server.write_all(&message).await.ok()?;
            // A query, or the end of a request.
            let mut between = false;
            if matches!(message[0], b'Q' | b'S') {
                let (answer, transaction) = until_ready(&mut server).await;
                client.write_all(&answer).await.ok()?;
                between = !transaction;
            }
            if between && self.mode != PoolerMode::Session {
                self.give_back(server);
            } else {
                held = Some(server);
            }
        }
        Some(())
    }
}

/// One protocol message with its type and length. `None` at the end of the stream.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let kind = from.read_u8().await.ok()?;
    let length = from.read_u32().await.ok()?;
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    let body = message.len();
    message.resize(body + usize::try_from(length).unwrap() - 4, 0);
    from.read_exact(&mut message[body..]).await.ok()?;
    (kind != b'X').then_some(message)
}

/// Reads until the server is ready for a query. Returns the bytes, and whether a transaction is
/// open.
async fn until_ready(server: &mut UnixStream) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        let message = message(server).await.expect("Postgres is there");
        all.extend(&message);
        if message[0] == b'Z' {
            return (all, message[5] != b'I');
        }
    }
}

/// The URL of the same database behind a pooler.
async fn behind(harness: &DoctorHarness, mode: PoolerMode) -> String {
    let options = PgConnectOptions::from_str(harness.settings.get("DATABASE_URL")).unwrap();
    let socket = options.get_socket().unwrap().join(".s.PGSQL.5432");
    let pool = Arc::new(FakePooler {
        mode,
        socket,
        idle: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&pool).serve(client));
        }
    });
    url(harness, port)
}

fn url(harness: &DoctorHarness, port: u16) -> String {
    let url = harness.settings.get("DATABASE_URL");
    let database = url.rsplit('/').next().unwrap();
    format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable")
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_found_for_every_order_of_its_connections() {
    for mode in [PoolerMode::LastBackFirst, PoolerMode::EachInTurn] {
        let harness = DoctorHarness::start().await;
        let pooled = behind(&harness, mode).await;
        let direct = harness.settings.get("DATABASE_URL").to_owned();
        let harness = harness.with("DATABASE_URL", pooled);
        let diagnosis = harness.doctor(&[]).await;
        assert_eq!(diagnosis.code, 1, "{mode:?}");
        diagnosis.assert_names("pooler", "in transaction mode", "pool_mode = session");
        // A session setting would stay for the next client of the connection.
        let mut conn = PgConnection::connect(harness.settings.get("DATABASE_URL"))
            .await
            .unwrap();
        for _ in 0..10 {
            let asked = "select current_setting('statement_timeout') || current_setting('transaction_read_only')";
            let row = raw_sql(asked).fetch_one(&mut conn).await.unwrap();
            assert_eq!(row.get::<String, _>(0), "0off", "{mode:?}");
        }
        harness.with("DATABASE_URL", direct).assert_well().await;
    }
}

#[tokio::test]
async fn a_pooler_in_session_mode_passes() {
    let harness = DoctorHarness::start().await;
    let pooled = behind(&harness, PoolerMode::Session).await;
    harness.with("DATABASE_URL", pooled).assert_well().await;
}

#[tokio::test]
async fn the_mode_of_a_real_pgbouncer_is_recognized() {
    let Some(program) = test_run_variable("PGBOUNCER") else {
        eprintln!("skipped: PGBOUNCER names no PgBouncer");
        return;
    };
    for (mode, round_robin, size, shared) in [
        ("session", 0, 5, false),
        ("transaction", 0, 5, true),
        ("transaction", 1, 5, true),
        ("transaction", 0, 1, true),
    ] {
        let harness = DoctorHarness::start().await;
        let options = PgConnectOptions::from_str(harness.settings.get("DATABASE_URL")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let users = folder.path().join("users");
        std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let socket = options.get_socket().unwrap().display();
        let settings = format!(
            "[databases]\n* = host={socket} port=5432 user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {path}/users\n\
             pool_mode = {mode}\nserver_round_robin = {round_robin}\ndefault_pool_size = {size}\n\
             ignore_startup_parameters = extra_float_digits\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let mut command = tokio::process::Command::new(&program);
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "postgres"]);
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(folder.path(), open).unwrap();
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let pgbouncer = command.arg(&file).stderr(log).kill_on_drop(true).spawn();
        let _pgbouncer = pgbouncer.unwrap();
        eventually("PgBouncer listens", PATIENCE, async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        let pooled = url(&harness, port);
        let diagnosis = harness.with("DATABASE_URL", pooled).doctor(&[]).await;
        let says = if shared {
            "in transaction mode"
        } else {
            "keeps its session"
        };
        diagnosis.assert_names("pooler", says, "");
        println!(
            "{mode} round_robin={round_robin} size={size}: {:?}",
            diagnosis.bad()
        );
    }
}
