//! Access to the operator's page and the protection of its forms.

use std::net::SocketAddr;

use embedded_postgres::testing::TestDatabase;
use pigeonhole::services::Role;
use reqwest::{RequestBuilder, StatusCode};

use super::{insert_dead_letter, page, token_of};
use crate::{
    app::TestApp,
    database::Database,
    process::{Process, run},
    settings::{ProgramSettings, hex},
    wait::PATIENCE,
    webhook::client,
};

const PAGES: [&str; 5] = ["/", "/dead", "/jobs/1", "/messages", "/page.css"];

fn get(admin: SocketAddr, path: &str) -> RequestBuilder {
    client().get(format!("http://{admin}{path}"))
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn with_a_configured_token_every_page_and_form_requires_it() {
    let token = hex();
    let app = TestApp::on(
        Database::create().await.with("ADMIN_TOKEN", &token),
        Role::Receiver,
    )
    .await;
    let admin = app.admin();
    for path in PAGES {
        let response = get(admin, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        let how = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(how.starts_with("Basic realm="), "{how}");
    }
    for wrong in [
        "",
        "x",
        &hex(),
        &token[1..],
        &format!("{token}x"),
        &token.to_uppercase(),
    ] {
        let asked = get(admin, "/").basic_auth("operator", Some(wrong));
        assert_eq!(status(asked).await, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    for garbage in ["Basic", "Basic !", "Bearer x", "Basic bm8gY29sb24="] {
        let asked = get(admin, "/").header("authorization", garbage);
        assert_eq!(status(asked).await, StatusCode::UNAUTHORIZED, "{garbage}");
    }
    let change = client().post(format!("http://{admin}/change"));
    assert_eq!(status(change).await, StatusCode::UNAUTHORIZED);
    for name in ["operator", "", "anybody"] {
        let asked = get(admin, "/").basic_auth(name, Some(&token));
        assert_eq!(status(asked).await, StatusCode::OK);
    }
    // The endpoints for machines need no token.
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(status(get(admin, path)).await, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_the_page_exists_only_on_loopback() {
    let settings = ProgramSettings::random(&TestDatabase::empty().await.url());
    let open = settings.clone().with("ADMIN_ADDR", "0.0.0.0:0");
    let (process, _) = Process::receiver("receiver", &open).await;
    let port = process.addr("admin listens").await.port();
    let admin = SocketAddr::from(([127, 0, 0, 1], port));
    for path in PAGES {
        assert_eq!(
            status(get(admin, path)).await,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let why = get(admin, "/").send().await.unwrap().text().await.unwrap();
    assert!(why.contains("ADMIN_TOKEN is not set"), "{why}");
    assert_eq!(status(get(admin, "/metrics")).await, StatusCode::OK);
    assert_eq!(status(get(admin, "/healthz")).await, StatusCode::OK);
    let line =
        "no operator's page: ADMIN_ADDR is not a loopback address, and ADMIN_TOKEN is not set";
    process.wait_for_line(line, PATIENCE).await;

    let guessed = settings.with("ADMIN_TOKEN", "letmein");
    let ran = run(&["receiver"], &guessed).await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr
            .contains("ADMIN_TOKEN must have at least 16 characters"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("letmein"));
}

#[tokio::test]
async fn on_loopback_only_the_machines_own_host_names_are_accepted() {
    let app = TestApp::receiver_only().await;
    let admin = app.admin();
    let port = admin.port();
    for (host, expected) in [
        (format!("localhost:{port}"), StatusCode::OK),
        ("LOCALHOST".to_owned(), StatusCode::OK),
        (format!("127.0.0.1:{port}"), StatusCode::OK),
        ("[::1]:9464".to_owned(), StatusCode::OK),
        (
            format!("evil.example:{port}"),
            StatusCode::MISDIRECTED_REQUEST,
        ),
        (
            "localhost.evil.example".to_owned(),
            StatusCode::MISDIRECTED_REQUEST,
        ),
        (
            "127.0.0.1.evil.example".to_owned(),
            StatusCode::MISDIRECTED_REQUEST,
        ),
        ("10.0.0.1".to_owned(), StatusCode::MISDIRECTED_REQUEST),
    ] {
        let asked = get(admin, "/").header("host", &host);
        assert_eq!(status(asked).await, expected, "{host}");
    }
}

#[tokio::test]
async fn a_form_from_another_site_or_without_our_token_changes_nothing() {
    let app = TestApp::receiver_only().await;
    let admin = app.admin();
    insert_dead_letter(&app, 7, "cleanup_sends", "{}", "away").await;
    let token = token_of(&page(admin, "/").await);
    let form = |token: &str| {
        let fields = [("token", token), ("do", "requeue"), ("id", "7")];
        client()
            .post(format!("http://{admin}/change"))
            .form(&fields)
    };
    let own = format!("http://{admin}");
    for (site, origin) in [
        (Some("cross-site"), None),
        (Some("same-site"), None),
        (Some("none"), None),
        (Some("cross-site"), Some(own.as_str())),
        (None, Some("https://evil.example")),
        (None, Some("http://127.0.0.1:1")),
        (None, Some("null")),
    ] {
        let mut request = form(&token);
        for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        assert_eq!(
            status(request).await,
            StatusCode::FORBIDDEN,
            "{site:?} {origin:?}"
        );
    }
    for wrong in ["", &hex(), &token[1..]] {
        assert_eq!(status(form(wrong)).await, StatusCode::FORBIDDEN);
    }
    // A GET request changes nothing either.
    let by_link = format!("/change?token={token}&do=requeue&id=7");
    assert_eq!(
        status(get(admin, &by_link)).await,
        StatusCode::METHOD_NOT_ALLOWED
    );
    let large = form(&"x".repeat(100_000));
    assert_eq!(status(large).await, StatusCode::PAYLOAD_TOO_LARGE);
    let rows = app.rows().await;
    assert_eq!((rows.dead, rows.jobs), (1, 0));

    let ours = form(&token)
        .header("sec-fetch-site", "same-origin")
        .header("origin", &own);
    assert_eq!(status(ours).await, StatusCode::SEE_OTHER);
    let rows = app.rows().await;
    assert_eq!((rows.dead, rows.jobs), (0, 1));
    app.leaves.live("cleanup_sends", 1); // there is no worker
}

#[tokio::test]
async fn every_response_forbids_framing_and_caching() {
    let app = TestApp::receiver_only().await;
    for path in PAGES {
        let response = get(app.admin(), path).send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    }
}
