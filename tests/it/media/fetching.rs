use std::time::Duration;

use axum::http::{Method, header};
use queue::JobError;
use store::media::{MediaState, Refusal};

use super::{
    file_server::{FileAnswer, FileServer},
    harness::{MAX_BYTES, MediaHarness, jpeg, png},
};

#[tokio::test]
async fn a_file_is_stored_unchanged_and_sealed() {
    let harness = MediaHarness::start().await;
    let file = jpeg(700_000);
    let message = harness
        .usual("image/jpeg", FileAnswer::File(file.clone()))
        .await;
    let media = harness.ended(&message).await;
    assert_eq!(media.len(), 1);
    assert_eq!(media[0].state, MediaState::Stored);
    assert_eq!(media[0].content_type.as_deref(), Some("image/jpeg"));
    assert_eq!(media[0].bytes, Some(700_000));
    assert_eq!(media[0].dimensions, Some((640, 480)));
    assert!(harness.opened(&media[0]).await == file);
    let objects = harness.files();
    assert_eq!(objects.len(), 1);
    let sealed = std::fs::read(&objects[0]).unwrap();
    assert!(!sealed.windows(4).any(|bytes| bytes == b"JFIF"));
    // The database computes the expected hash, so that both do not come from the same code.
    let same: bool = sqlx::query_scalar("select sha256 = sha256($1) from pigeonhole.media")
        .bind(file.as_ref())
        .fetch_one(&harness.database.pool)
        .await
        .unwrap();
    assert!(same);
}

#[tokio::test]
async fn credentials_are_sent_to_twilio_and_not_to_its_file_host() {
    let harness = MediaHarness::start().await;
    let message = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(100)))
        .await;
    assert_eq!(harness.state(&message).await, MediaState::Stored);
    let (api, cdn) = (harness.api.requests(), harness.cdn.requests());
    assert_eq!((api.len(), cdn.len()), (1, 1));
    assert!(api[0].headers.contains_key(header::AUTHORIZATION));
    for name in [
        header::AUTHORIZATION,
        header::COOKIE,
        header::REFERER,
        header::ACCEPT_ENCODING,
    ] {
        assert!(!cdn[0].headers.contains_key(&name), "{name}");
    }
}

#[tokio::test]
async fn all_ten_files_of_a_message_are_stored_at_their_positions() {
    let harness = MediaHarness::start().await;
    let files: Vec<_> = (0..10).map(|at| jpeg(70_000 + at)).collect();
    let answers = files
        .iter()
        .map(|file| ("image/jpeg", vec![FileAnswer::Unsized(file.clone())]));
    let message = harness.message(answers.collect()).await;
    let media = harness.ended(&message).await;
    assert_eq!(media.len(), 10);
    for (at, (media, file)) in media.iter().zip(&files).enumerate() {
        assert_eq!(
            (usize::from(media.position), media.state),
            (at, MediaState::Stored)
        );
        assert!(harness.opened(media).await == *file);
    }
    assert_eq!(harness.files().len(), 10);
}

#[tokio::test]
async fn a_file_in_a_final_state_is_not_fetched_again() {
    let harness = MediaHarness::start().await;
    let message = harness
        .message(vec![
            ("image/jpeg", vec![FileAnswer::File(jpeg(100))]),
            (
                "image/jpeg",
                vec![FileAnswer::Status(500, None), FileAnswer::File(jpeg(200))],
            ),
            (
                "image/jpeg",
                vec![FileAnswer::File(b"no image".as_slice().into())],
            ),
        ])
        .await;
    assert!(matches!(
        harness.failure(&message).await,
        JobError::Retry { .. }
    ));
    let media = harness.ended(&message).await;
    let states = media.iter().map(|media| media.state).collect::<Vec<_>>();
    let refused = MediaState::Refused(Refusal::TypeNotSupported);
    assert_eq!(states, [MediaState::Stored, MediaState::Stored, refused]);
    assert_eq!(
        harness.api.requests().len(),
        4,
        "one request for each file, and two for one"
    );
    harness.ended(&message).await;
    assert_eq!(harness.api.requests().len(), 4);
}

#[tokio::test]
async fn a_too_large_file_is_refused_with_or_without_an_announced_length() {
    let harness = MediaHarness::start().await;
    let refused = MediaState::Refused(Refusal::TooLarge);
    let long = jpeg(MAX_BYTES + 1);
    for answer in [
        FileAnswer::Announces(MAX_BYTES as u64 + 1),
        FileAnswer::File(long.clone()),
        FileAnswer::Unsized(long),
    ] {
        let message = harness.usual("image/jpeg", answer).await;
        assert_eq!(harness.state(&message).await, refused);
    }
    let most = jpeg(MAX_BYTES);
    let message = harness
        .usual("image/jpeg", FileAnswer::Unsized(most.clone()))
        .await;
    let media = harness.ended(&message).await;
    assert_eq!(media[0].bytes, Some(MAX_BYTES as u64));
    assert!(harness.opened(&media[0]).await == most);
    assert_eq!(harness.files().len(), 1, "no object of the others is left");
}

#[tokio::test]
async fn an_image_with_too_many_pixels_is_refused_even_if_its_header_comes_late() {
    let harness = MediaHarness::start().await;
    let message = harness
        .usual("image/png", FileAnswer::File(png(10_000, 5_001)))
        .await;
    assert_eq!(
        harness.state(&message).await,
        MediaState::Refused(Refusal::TooManyPixels)
    );
    let message = harness
        .usual("image/png", FileAnswer::File(png(10_000, 5_000)))
        .await;
    assert_eq!(harness.state(&message).await, MediaState::Stored);
    for (pixels, state) in [
        (5_001, MediaState::Refused(Refusal::TooManyPixels)),
        (99, MediaState::Stored),
    ] {
        let message = harness
            .usual("image/jpeg", FileAnswer::File(late(pixels)))
            .await;
        let media = harness.ended(&message).await;
        assert_eq!(media[0].state, state);
        let expected = (state == MediaState::Stored).then_some((10_000, 99));
        assert_eq!(media[0].dimensions, expected);
    }
}

/// A JPEG whose dimensions come after 130,000 bytes of other data.
fn late(height: u16) -> axum::body::Bytes {
    let mut bytes = b"\xff\xd8".to_vec();
    for _ in 0..2 {
        bytes.extend(b"\xff\xe1\xff\xff");
        bytes.extend(std::iter::repeat_n(7, 0xffff - 2));
    }
    bytes.extend(b"\xff\xc0\0\x11\x08");
    bytes.extend(height.to_be_bytes());
    bytes.extend(10_000u16.to_be_bytes());
    bytes.extend([3; 40]);
    bytes.into()
}

#[tokio::test]
async fn a_file_missing_at_twilio_is_retried_and_later_marked_gone() {
    let harness = MediaHarness::start().await;
    let missing = || vec![FileAnswer::Status(404, None), FileAnswer::File(jpeg(100))];
    let mut message = harness.message(vec![("image/jpeg", missing())]).await;
    let JobError::Snooze(wait) = harness.failure(&message).await else {
        panic!("it costs no attempt")
    };
    assert!(
        wait >= Duration::from_secs(1) && wait <= Duration::from_secs(3),
        "{wait:?}"
    );
    assert_eq!(harness.state(&message).await, MediaState::Stored);

    message = harness.message(vec![("image/jpeg", missing())]).await;
    message.received_at -= chrono::TimeDelta::minutes(6);
    assert_eq!(harness.state(&message).await, MediaState::Gone);
    assert_eq!(harness.files().len(), 1);
}

#[tokio::test]
async fn temporary_errors_are_retried_and_a_refused_account_costs_no_attempt() {
    let harness = MediaHarness::start().await;
    for status in [500, 502, 503, 400, 405, 408] {
        let message = harness
            .message(vec![("image/jpeg", vec![FileAnswer::Status(status, None)])])
            .await;
        let failure = harness.failure(&message).await;
        assert!(
            matches!(failure, JobError::Retry { .. }),
            "{status}: {failure:?}"
        );
    }
    for status in [401, 403] {
        let message = harness
            .message(vec![("image/jpeg", vec![FileAnswer::Status(status, None)])])
            .await;
        let failure = harness.failure(&message).await;
        assert!(
            matches!(failure, JobError::Snooze(_)),
            "{status}: {failure:?}"
        );
    }
    // At the file host, this status means that the URL has expired.
    let message = harness
        .usual("image/jpeg", FileAnswer::Status(403, None))
        .await;
    assert!(matches!(
        harness.failure(&message).await,
        JobError::Retry { .. }
    ));
    let message = harness
        .usual("image/jpeg", FileAnswer::Status(429, Some("17")))
        .await;
    let failure = harness.failure(&message).await;
    let JobError::Snooze(wait) = failure else {
        panic!("{failure:?}")
    };
    assert_eq!(wait, Duration::from_secs(17));
    assert!(harness.files().is_empty());
}

#[tokio::test]
async fn a_slow_or_truncated_download_is_retried_and_leaves_no_object() {
    let harness = MediaHarness::with_timeout(Duration::from_secs(2)).await;
    let cut = FileAnswer::Cut(jpeg(3_000_000));
    for answer in [FileAnswer::Drip, cut] {
        let path = format!("/{}", crate::settings::hex());
        harness
            .cdn
            .answers(&path, [answer, FileAnswer::File(jpeg(100))]);
        let redirect = vec![FileAnswer::Redirect(harness.cdn.url(&path))];
        let message = harness.message(vec![("image/jpeg", redirect)]).await;
        assert!(matches!(
            harness.failure(&message).await,
            JobError::Retry { .. }
        ));
        assert_eq!(harness.state(&message).await, MediaState::Stored);
    }
    assert_eq!(harness.files().len(), 2);
}

#[tokio::test]
async fn an_unreachable_host_is_retried() {
    let mut harness = MediaHarness::start().await;
    let message = harness.usual("image/jpeg", FileAnswer::File(jpeg(9))).await;
    harness.cdn = FileServer::start().await; // the server that has the file is stopped
    let failure = harness.failure(&message).await;
    assert!(matches!(failure, JobError::Retry { .. }), "{failure:?}");
}

#[tokio::test]
async fn every_file_is_requested_with_get() {
    let harness = MediaHarness::start().await;
    let message = harness.usual("image/jpeg", FileAnswer::File(jpeg(9))).await;
    harness.ended(&message).await;
    for asked in harness.api.requests().iter().chain(&harness.cdn.requests()) {
        assert_eq!(asked.method, Method::GET, "{}", asked.path);
    }
}
