//! A body that is not JSON of an acceptable size is refused with a problem document.

use std::time::Duration;

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{ApiAnswer, ApiHarness, FREE, PATH, VERIFY, number};
use crate::wait::PATIENCE;

fn assert_problem(answer: &ApiAnswer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}");
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{what}"
    );
    assert_eq!(answer.body["status"], status, "{what}");
    assert_eq!(answer.body["type"], "about:blank", "{what}");
    assert!(answer.body["title"].is_string() && answer.body["detail"].is_string());
}

#[tokio::test]
async fn a_body_of_another_content_type_or_without_valid_json_is_refused() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    let good = number(FREE).to_string();
    for path in [PATH, VERIFY] {
        let post = || caller.request(Method::POST, path);
        for media_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
        ] {
            let request = post().header("content-type", media_type).body(good.clone());
            let answer = ApiAnswer::of(request.send().await.unwrap()).await;
            assert_problem(&answer, 415, media_type);
        }
        let none = post().body(good.clone()).send().await.unwrap();
        assert_problem(&ApiAnswer::of(none).await, 415, "none");
        let deep = "[".repeat(5000);
        for (what, body) in [
            ("nothing", b"".as_slice()),
            ("half", b"{\"phoneNumber\":"),
            ("two", b"{} {}"),
            ("single quotes", b"{'phoneNumber':'+12025550143'}"),
            ("broken UTF-8", b"{\"phoneNumber\":\"\xff\"}"),
            ("a lone surrogate", b"{\"phoneNumber\":\"\\ud800\"}"),
            ("deep", deep.as_bytes()),
        ] {
            let request = post()
                .header("content-type", "application/json")
                .body(body.to_vec());
            let answer = ApiAnswer::of(request.send().await.unwrap()).await;
            assert_problem(&answer, 400, what);
        }
        let large = format!("{{\"x\":\"{}\"}}", "x".repeat(17_000));
        let request = post()
            .header("content-type", "application/json")
            .body(large);
        assert_problem(
            &ApiAnswer::of(request.send().await.unwrap()).await,
            413,
            "large",
        );
    }
    assert_eq!(api.sends().await, 0);
    let request = caller
        .request(Method::POST, PATH)
        .header("content-type", "Application/JSON; charset=utf-8")
        .body(good);
    assert_eq!(request.send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_client_that_sends_its_body_too_slowly_is_cut_off() {
    let api = ApiHarness::start().await;
    let caller = api.user().await;
    let started = Instant::now();
    let mut stream = TcpStream::connect(api.app.receiver).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
        caller.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!(started.elapsed() < Duration::from_secs(8));
}
