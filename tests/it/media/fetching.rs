use std::time::Duration;

use axum::http::{Method, header};
use queue::JobError;
use store::media::{MediaState, Refusal};

use super::rig::{Answer, FileServer, MAX_BYTES, Rig, jpeg, png};

#[tokio::test]
async fn a_file_is_stored_as_it_came_and_sealed() {
    let rig = Rig::start().await;
    let file = jpeg(700_000);
    let message = rig.usual("image/jpeg", Answer::File(file.clone())).await;
    let media = rig.ended(&message).await;
    assert_eq!(media.len(), 1);
    assert_eq!(media[0].state, MediaState::Stored);
    assert_eq!(media[0].content_type.as_deref(), Some("image/jpeg"));
    assert_eq!(media[0].bytes, Some(700_000));
    assert_eq!(media[0].dimensions, Some((640, 480)));
    assert!(rig.opened(&media[0]).await == file);
    let objects = rig.files();
    assert_eq!(objects.len(), 1);
    let sealed = std::fs::read(&objects[0]).unwrap();
    assert!(!sealed.windows(4).any(|bytes| bytes == b"JFIF"));
    // By the database, which has not computed the other.
    let same: bool = sqlx::query_scalar("select sha256 = sha256($1) from pigeonhole.media")
        .bind(file.as_ref())
        .fetch_one(&rig.database.pool)
        .await
        .unwrap();
    assert!(same);
}

#[tokio::test]
async fn credentials_go_to_twilio_and_not_to_where_it_keeps_its_files() {
    let rig = Rig::start().await;
    let message = rig.usual("image/jpeg", Answer::File(jpeg(100))).await;
    assert_eq!(rig.state(&message).await, MediaState::Stored);
    let (api, cdn) = (rig.api.asked(), rig.cdn.asked());
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
async fn all_ten_files_of_a_message_are_stored_each_in_its_place() {
    let rig = Rig::start().await;
    let files: Vec<_> = (0..10).map(|at| jpeg(70_000 + at)).collect();
    let answers = files
        .iter()
        .map(|file| ("image/jpeg", vec![Answer::Unsized(file.clone())]));
    let message = rig.message(answers.collect()).await;
    let media = rig.ended(&message).await;
    assert_eq!(media.len(), 10);
    for (at, (media, file)) in media.iter().zip(&files).enumerate() {
        assert_eq!(
            (usize::from(media.position), media.state),
            (at, MediaState::Stored)
        );
        assert!(rig.opened(media).await == *file);
    }
    assert_eq!(rig.files().len(), 10);
}

#[tokio::test]
async fn what_has_ended_is_not_fetched_again() {
    let rig = Rig::start().await;
    let message = rig
        .message(vec![
            ("image/jpeg", vec![Answer::File(jpeg(100))]),
            (
                "image/jpeg",
                vec![Answer::Status(500, None), Answer::File(jpeg(200))],
            ),
            (
                "image/jpeg",
                vec![Answer::File(b"no image".as_slice().into())],
            ),
        ])
        .await;
    assert!(matches!(
        rig.failure(&message).await,
        JobError::Retry { .. }
    ));
    let media = rig.ended(&message).await;
    let states = media.iter().map(|media| media.state).collect::<Vec<_>>();
    let refused = MediaState::Refused(Refusal::TypeNotSupported);
    assert_eq!(states, [MediaState::Stored, MediaState::Stored, refused]);
    assert_eq!(rig.api.asked().len(), 4, "each once, and one twice");
    rig.ended(&message).await;
    assert_eq!(rig.api.asked().len(), 4);
}

#[tokio::test]
async fn what_is_too_large_is_refused_whether_it_says_so_or_not() {
    let rig = Rig::start().await;
    let refused = MediaState::Refused(Refusal::TooLarge);
    let long = jpeg(MAX_BYTES + 1);
    for answer in [
        Answer::Announces(MAX_BYTES as u64 + 1),
        Answer::File(long.clone()),
        Answer::Unsized(long),
    ] {
        let message = rig.usual("image/jpeg", answer).await;
        assert_eq!(rig.state(&message).await, refused);
    }
    let most = jpeg(MAX_BYTES);
    let message = rig.usual("image/jpeg", Answer::Unsized(most.clone())).await;
    let media = rig.ended(&message).await;
    assert_eq!(media[0].bytes, Some(MAX_BYTES as u64));
    assert!(rig.opened(&media[0]).await == most);
    assert_eq!(rig.files().len(), 1, "nothing is left of the others");
}

#[tokio::test]
async fn an_image_of_too_many_pixels_is_refused_also_when_they_stand_far_behind() {
    let rig = Rig::start().await;
    let message = rig
        .usual("image/png", Answer::File(png(10_000, 5_001)))
        .await;
    assert_eq!(
        rig.state(&message).await,
        MediaState::Refused(Refusal::TooManyPixels)
    );
    let message = rig
        .usual("image/png", Answer::File(png(10_000, 5_000)))
        .await;
    assert_eq!(rig.state(&message).await, MediaState::Stored);
    for (pixels, state) in [
        (5_001, MediaState::Refused(Refusal::TooManyPixels)),
        (99, MediaState::Stored),
    ] {
        let message = rig.usual("image/jpeg", Answer::File(late(pixels))).await;
        let media = rig.ended(&message).await;
        assert_eq!(media[0].state, state);
        let expected = (state == MediaState::Stored).then_some((10_000, 99));
        assert_eq!(media[0].dimensions, expected);
    }
}

/// A JPEG whose dimensions stand behind 130,000 bytes of something else.
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
async fn a_file_that_twilio_does_not_have_yet_is_looked_for_and_later_is_gone() {
    let rig = Rig::start().await;
    let missing = || vec![Answer::Status(404, None), Answer::File(jpeg(100))];
    let mut message = rig.message(vec![("image/jpeg", missing())]).await;
    let JobError::Snooze(wait) = rig.failure(&message).await else {
        panic!("it costs no attempt")
    };
    assert!(
        wait >= Duration::from_secs(1) && wait <= Duration::from_secs(3),
        "{wait:?}"
    );
    assert_eq!(rig.state(&message).await, MediaState::Stored);

    message = rig.message(vec![("image/jpeg", missing())]).await;
    message.received_at -= chrono::TimeDelta::minutes(6);
    assert_eq!(rig.state(&message).await, MediaState::Gone);
    assert_eq!(rig.files().len(), 1);
}

#[tokio::test]
async fn what_may_be_mended_is_tried_again_and_an_account_that_is_refused_costs_no_attempt() {
    let rig = Rig::start().await;
    for status in [500, 502, 503, 400, 405, 408] {
        let message = rig
            .message(vec![("image/jpeg", vec![Answer::Status(status, None)])])
            .await;
        let failure = rig.failure(&message).await;
        assert!(
            matches!(failure, JobError::Retry { .. }),
            "{status}: {failure:?}"
        );
    }
    for status in [401, 403] {
        let message = rig
            .message(vec![("image/jpeg", vec![Answer::Status(status, None)])])
            .await;
        let failure = rig.failure(&message).await;
        assert!(
            matches!(failure, JobError::Snooze(_)),
            "{status}: {failure:?}"
        );
    }
    // There, it is the URL that has expired.
    let message = rig.usual("image/jpeg", Answer::Status(403, None)).await;
    assert!(matches!(
        rig.failure(&message).await,
        JobError::Retry { .. }
    ));
    let message = rig
        .usual("image/jpeg", Answer::Status(429, Some("17")))
        .await;
    let failure = rig.failure(&message).await;
    let JobError::Snooze(wait) = failure else {
        panic!("{failure:?}")
    };
    assert_eq!(wait, Duration::from_secs(17));
    assert!(rig.files().is_empty());
}

#[tokio::test]
async fn a_file_that_comes_too_slowly_or_is_cut_off_is_tried_again_and_leaves_nothing() {
    let rig = Rig::with_timeout(Duration::from_secs(2)).await;
    let cut = Answer::Cut(jpeg(3_000_000));
    for answer in [Answer::Drip, cut] {
        let path = format!("/{}", crate::settings::hex());
        rig.cdn.answers(&path, [answer, Answer::File(jpeg(100))]);
        let redirect = vec![Answer::Redirect(rig.cdn.url(&path))];
        let message = rig.message(vec![("image/jpeg", redirect)]).await;
        assert!(matches!(
            rig.failure(&message).await,
            JobError::Retry { .. }
        ));
        assert_eq!(rig.state(&message).await, MediaState::Stored);
    }
    assert_eq!(rig.files().len(), 2);
}

#[tokio::test]
async fn a_host_that_is_not_to_be_reached_is_tried_again() {
    let mut rig = Rig::start().await;
    let message = rig.usual("image/jpeg", Answer::File(jpeg(9))).await;
    rig.cdn = FileServer::start().await; // and the one that has the file is no more
    let failure = rig.failure(&message).await;
    assert!(matches!(failure, JobError::Retry { .. }), "{failure:?}");
}

#[tokio::test]
async fn every_file_is_asked_for_with_get() {
    let rig = Rig::start().await;
    let message = rig.usual("image/jpeg", Answer::File(jpeg(9))).await;
    rig.ended(&message).await;
    for asked in rig.api.asked().iter().chain(&rig.cdn.asked()) {
        assert_eq!(asked.method, Method::GET, "{}", asked.path);
    }
}
