//! The memory use of downloads. It runs in its own process, because the high-water mark is per
//! process.

#![expect(clippy::unwrap_used, reason = "a test's helper fails its test")]
#![cfg(target_os = "linux")]

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    response::Response,
};
use embedded_postgres::testing::TestDatabase;
use futures_util::{future::join_all, stream};
use jobs::{DownloadDeps, MediaStore, download};
use store::{Keyring, media::MediaState, users};
use tokio::{net::TcpListener, sync::Semaphore};
use twilio::{
    InboundWebhook,
    media::{Downloader, DownloaderSettings},
    rest::Credentials,
};
use url::Url;
use uuid::Uuid;

/// The number of concurrent downloads.
const FILES: usize = 100;

/// The largest allowed file.
const LENGTH: usize = 5 * 1024 * 1024;

const LIMIT_KIB: u64 = 256 * 1024;

/// The size of one chunk that the server sends.
const PIECE: usize = 64 * 1024;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// Sends a file of the maximum length without holding it in memory, and slowly enough that all
/// downloads overlap.
async fn file() -> Response {
    static ZEROES: [u8; PIECE] = [0; PIECE];
    let pieces = stream::unfold(0, async |sent| {
        if sent == LENGTH {
            return None;
        }
        // At the speed of a slow network, so that all downloads overlap.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut piece = Bytes::from_static(&ZEROES);
        if sent == 0 {
            piece = [b"\xff\xf1\x50\x80".as_slice(), &ZEROES[4..]]
                .concat()
                .into();
        }
        Some((Ok::<_, std::io::Error>(piece), sent + PIECE))
    });
    Response::new(Body::from_stream(pieces))
}

fn high_water_mark_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_concurrent_downloads_use_less_than_256_mib() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(file))
            .await
            .unwrap();
    });
    let database = TestDatabase::migrated(store::migrate).await;
    let pool = database.pool().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = DownloaderSettings {
        api_base_url: format!("http://{addr}").parse().unwrap(),
        credentials: Credentials {
            account: ACCOUNT.parse().unwrap(),
            username: ACCOUNT.to_owned(),
            secret: "token".to_owned().into(),
        },
        max_bytes: LENGTH as u64,
        timeout: Duration::from_mins(10),
        more_hosts: Vec::new(),
    };
    let keyring = Arc::new(Keyring::parse(&"0f".repeat(32), "").unwrap());
    let deps = DownloadDeps {
        pool: pool.clone().into(),
        keyring,
        downloader: Downloader::new(settings).unwrap(),
        media_store: MediaStore::at(&Url::from_file_path(folder.path()).unwrap(), &[]).unwrap(),
        permits: Arc::new(Semaphore::new(FILES)),
    };
    let user = Uuid::new_v4();
    let mut conn = pool.acquire().await.unwrap();
    users::ensure(&mut conn, user).await.unwrap();
    let mut messages = Vec::new();
    for n in 0..FILES {
        let sid = format!("MM{n:032x}");
        sqlx::query(
            "insert into pigeonhole.inbound_messages (message_sid, account_sid, sender_index) values ($1, $2, 'x')",
        )
        .bind(&sid)
        .bind(ACCOUNT)
        .execute(&mut *conn)
        .await
        .unwrap();
        let url =
            format!("http://{addr}/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}/Media/ME{n:032x}");
        let fields = [
            ("MessageSid", sid.as_str()),
            ("AccountSid", ACCOUNT),
            ("From", "+12025550123"),
            ("To", "+15005550006"),
            ("MediaUrl0", &url),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        messages.push(InboundWebhook::from_fields(fields.into()).unwrap());
    }
    let now = store::now(&mut conn).await.unwrap();
    drop(conn);

    let before = high_water_mark_kib();
    let started = std::time::Instant::now();
    let downloads = messages.into_iter().map(|message| {
        let deps = deps.clone();
        tokio::spawn(async move { download(&deps, &message, user, now).await.unwrap() })
    });
    for media in join_all(downloads).await {
        let media = media.unwrap();
        assert_eq!(
            (media[0].state, media[0].bytes),
            (MediaState::Stored, Some(LENGTH as u64))
        );
    }
    let after = high_water_mark_kib();
    eprintln!(
        "{FILES} files of {LENGTH} bytes in {:?}: at most {after} KiB, {before} KiB of them before",
        started.elapsed()
    );
    assert!(after < LIMIT_KIB, "{after} KiB");
}
