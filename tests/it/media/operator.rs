use std::{
    fs::File,
    io::{Read, Seek},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use clap::{FromArgMatches, Subcommand};
use pigeonhole::cli::media::{MediaCommand, run};
use store::media::media_id;

use super::{
    file_server::FileAnswer,
    harness::{MediaHarness, StoredMessage, jpeg},
};

/// The output of the command.
async fn media(harness: &MediaHarness, args: &[&str]) -> anyhow::Result<Vec<u8>> {
    let command = MediaCommand::augment_subcommands(clap::Command::new("media"));
    let args = ["media"].iter().chain(args);
    let command = MediaCommand::from_arg_matches(&command.try_get_matches_from(args)?)?;
    let mut conn = harness.database.pool.acquire().await.unwrap();
    let mut out: File = tempfile::tempfile().unwrap();
    run(
        &mut conn,
        &harness.deps.keyring,
        &harness.deps.media_store,
        command,
        &mut out,
    )
    .await?;
    let mut written = Vec::new();
    out.rewind().unwrap();
    out.read_to_end(&mut written).unwrap();
    Ok(written)
}

async fn two_files(harness: &MediaHarness) -> StoredMessage {
    let answers = [jpeg(200_000), b"MZ".as_slice().into()]
        .map(|file| ("image/jpeg", vec![FileAnswer::File(file)]));
    let message = harness.message(answers.into()).await;
    harness.ended(&message).await;
    message
}

#[tokio::test]
async fn an_operator_gets_a_file_by_its_id_and_by_its_position_in_a_message() {
    let harness = MediaHarness::start().await;
    let message = two_files(&harness).await;
    let sid = message.sid().as_str();
    let id = media_id(sid, 0).to_string();
    for name in [&id, &format!("{sid}/0")] {
        assert!(media(&harness, &["get", name]).await.unwrap() == jpeg(200_000));
    }
    let path = harness.folder.path().join("file.jpg");
    let output = path.to_str().unwrap();
    media(&harness, &["get", &id, "-o", output]).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == jpeg(200_000));
    assert_eq!(mode(&path), 0o600);
    let again = media(&harness, &["get", &id, "-o", output]).await;
    assert!(again.unwrap_err().to_string().contains("cannot create"));

    let only = harness
        .usual("image/jpeg", FileAnswer::File(jpeg(50)))
        .await;
    harness.ended(&only).await;
    assert!(
        media(&harness, &["get", only.sid().as_str()])
            .await
            .unwrap()
            == jpeg(50)
    );
}

#[tokio::test]
async fn an_unavailable_file_is_named_with_its_reason() {
    let harness = MediaHarness::start().await;
    let sid = two_files(&harness).await.sid().to_string();
    let cases = [
        (sid.clone(), "has several files"),
        (format!("{sid}/1"), "type_not_supported"),
        (format!("{sid}/2"), "no such file"),
        (format!("{sid}/10"), "SID/N"),
        ("x".to_owned(), "SID/N"),
        (format!("MM{}", crate::settings::hex()), "has no files"),
    ];
    for (name, said) in cases {
        let error = media(&harness, &["get", &name]).await.unwrap_err();
        assert!(format!("{error:#}").contains(said), "{name}: {error:#}");
    }
}

#[tokio::test]
async fn the_list_shows_the_state_of_each_file() {
    let harness = MediaHarness::start().await;
    let message = two_files(&harness).await;
    let list = media(&harness, &["list", message.sid().as_str()])
        .await
        .unwrap();
    let list = String::from_utf8(list).unwrap();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(
        lines[1].contains("stored") && lines[1].contains("200000") && lines[1].contains("640x480")
    );
    assert!(lines[2].contains("type_not_supported"), "{list}");
}

#[tokio::test]
async fn only_the_owner_can_read_the_media_folder() {
    let harness = MediaHarness::start().await;
    assert_eq!(mode(&harness.folder.path().join("media")), 0o700);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
