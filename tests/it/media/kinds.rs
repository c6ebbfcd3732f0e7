use store::media::{MediaState, Refusal};

use super::{file_server::FileAnswer, harness::MediaHarness};

/// The first bytes, the declared type, and the recognized type.
const KEPT: [(&[u8], &str, &str); 37] = [
    (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg", "image/jpeg"),
    (
        b"\xff\xd8\xff\xe1\0\x10Exif\0",
        "IMAGE/JPG; name=x",
        "image/jpeg",
    ),
    (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "image/png", "image/png"),
    (b"GIF89a\x10\0\x10\0", "image/gif", "image/gif"),
    (b"GIF87a\x10\0\x10\0", "", "image/gif"),
    (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp", "image/webp"),
    (
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "image/heic",
        "image/heic",
    ),
    (
        b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
        "image/heif",
        "image/heic",
    ),
    (
        b"\0\0\0\x14ftypmif1\0\0\0\0mif1",
        "image/heif",
        "image/heif",
    ),
    (b"II*\0\x08\0\0\0\0\0", "image/tiff", "image/tiff"),
    (b"MM\0*\0\0\0\x08\0\0", "image/tiff", "image/tiff"),
    (
        b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
        "image/bmp",
        "image/bmp",
    ),
    (b"#!AMR\n\x3c\x54", "audio/amr", "audio/amr"),
    (b"#!AMR-WB\n\x04", "audio/amr-wb", "audio/amr-wb"),
    (
        b"\0\0\0\x14ftyp3gp4\0\0\0\x003gp4",
        "audio/3gpp",
        "audio/3gpp",
    ),
    (
        b"\0\0\0\x14ftyp3gp5\0\0\0\x003gp5",
        "video/3gpp",
        "video/3gpp",
    ),
    (
        b"\0\0\0\x14ftyp3g2a\0\0\0\x003g2a",
        "video/3gpp2",
        "video/3gpp2",
    ),
    (
        b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42",
        "audio/x-m4a",
        "audio/mp4",
    ),
    (
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        "audio/mp4",
        "audio/mp4",
    ),
    (
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        "video/mp4",
        "video/mp4",
    ),
    (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "", "video/mp4"),
    (b"\xff\xf1\x50\x80\x02\x1f\xfc", "audio/aac", "audio/aac"),
    (b"ID3\x04\0\0\0\0\0\0", "audio/mpeg", "audio/mpeg"),
    (b"\xff\xfb\x90\x64\0", "audio/mp3", "audio/mpeg"),
    (b"\xff\xe3\x18\xc4\0", "audio/mpeg", "audio/mpeg"),
    (
        b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead",
        "audio/ogg; codecs=opus",
        "audio/ogg",
    ),
    (b"RIFF\x10\0\0\0WAVEfmt ", "audio/vnd.wave", "audio/wav"),
    (
        b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webmB\x87",
        "audio/webm",
        "audio/webm",
    ),
    (
        b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webmB\x87",
        "video/webm",
        "video/webm",
    ),
    (
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
        "video/quicktime",
        "video/quicktime",
    ),
    (b"\0\0\x01\xba\x44\0", "video/mpeg", "video/mpeg"),
    (b"\0\0\x01\xb3\x16\0", "video/mpeg", "video/mpeg"),
    (
        b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ana\r\nEND:VCARD\r\n",
        "text/x-vcard",
        "text/vcard",
    ),
    (
        b"\xef\xbb\xbf\r\nbegin:vcard\nFN:Ana\nend:vcard\n",
        "text/plain",
        "text/vcard",
    ),
    (b"%PDF-1.7\n", "application/pdf", "application/pdf"),
    // The declared type does not count.
    (
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
        "application/x-msdownload",
        "image/png",
    ),
    (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "text/plain", "image/jpeg"),
];

/// The same for types that are refused.
const REFUSED: [(&[u8], &str); 24] = [
    (b"", "image/jpeg"),
    (b"\xff\xd8", "image/jpeg"),
    (b"MZ\x90\0\x03\0\0\0", "image/jpeg"),
    (b"\x7fELF\x02\x01\x01", "image/png"),
    (b"#!/bin/sh\nrm -rf /\n", "audio/amr"),
    (b"<!DOCTYPE html><script>", "image/jpeg"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image/svg+xml"),
    (
        b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>",
        "text/xml",
    ),
    (b"PK\x03\x04\x14\0", "application/zip"),
    (b"\x1f\x8b\x08\0", "application/gzip"),
    (b"Rar!\x1a\x07\0", "application/octet-stream"),
    (b"BMW is a car", "image/bmp"),
    (b"II*\0\x10\0\0\0CR\x02\0", "image/tiff"),
    (b"RIFF\x10\0\0\0AVI LIST", "video/avi"),
    (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "image/avif"),
    (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "image/heif"),
    (b"\x1a\x45\xdf\xa3\x9fB\x82\x88matroska", "video/webm"),
    (
        b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x2a\x80theora",
        "video/ogg",
    ),
    (b"\xff\xff\xff\xff", "audio/mpeg"),
    (b"\xff\xfb\xf0\x00", "audio/mpeg"),
    (b"BEGIN:VCALENDAR\r\n", "text/calendar"),
    (b"BEGIN:VCARDIGAN\r\n", "text/vcard"),
    (b"hello", "application/octet-stream"),
    (b"text with \0 in it", "text/plain"),
];

/// The same for types that only wrap a message.
const SKIPPED: [(&[u8], &str); 4] = [
    (b"<smil><head><layout/></head></smil>", "application/smil"),
    (
        b" \n<SMIL xmlns='http://www.w3.org/2001/SMIL20/Language'>",
        "",
    ),
    (b"See you at noon", "text/plain; charset=utf-8"),
    (b"<?xml version='1.0'?><smil/>", "application/smil"),
];

#[tokio::test]
async fn each_supported_type_is_recognized_by_its_bytes_and_stored() {
    let harness = MediaHarness::start().await;
    for group in KEPT.chunks(10) {
        let files = group.iter().map(|(bytes, declared, _)| {
            let file = [bytes, [0; 40].as_slice()].concat();
            (*declared, vec![FileAnswer::File(file.into())])
        });
        let message = harness.message(files.collect()).await;
        for (media, (bytes, declared, kind)) in harness.ended(&message).await.iter().zip(group) {
            let name = format!("{:?} as {declared}", bytes.escape_ascii().to_string());
            assert_eq!(media.state, MediaState::Stored, "{name}");
            assert_eq!(media.content_type.as_deref(), Some(*kind), "{name}");
        }
    }
    assert_eq!(harness.files().len(), KEPT.len());
}

#[tokio::test]
async fn unsupported_types_are_refused_and_wrapping_types_are_skipped() {
    let harness = MediaHarness::start().await;
    let refused = REFUSED
        .iter()
        .map(|given| (*given, Refusal::TypeNotSupported));
    let skipped = SKIPPED.iter().map(|given| (*given, Refusal::Skipped));
    for ((bytes, declared), why) in refused.chain(skipped) {
        let answer = FileAnswer::File(bytes.into());
        let message = harness.message(vec![(declared, vec![answer])]).await;
        let name = format!("{:?} as {declared}", bytes.escape_ascii().to_string());
        assert_eq!(
            harness.state(&message).await,
            MediaState::Refused(why),
            "{name}"
        );
    }
    assert!(harness.files().is_empty());
    assert_eq!(
        harness
            .count("select count(*) from pigeonhole.media_garbage")
            .await,
        28
    );
}
