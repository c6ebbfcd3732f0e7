//! Describes a file in a few words, without reading it.

use std::time::Duration;

use super::{Attachment, clean};

/// `Photo, 1024×768, 312 kB`, or `Voice message, 0:42, 98 kB`.
pub(super) fn describe(attachment: &Attachment) -> String {
    let mut parts = vec![noun(&attachment.essence())];
    if let Some((width, height)) = attachment.dimensions {
        parts.push(format!("{width}×{height}"));
    }
    parts.extend(attachment.duration.map(duration));
    parts.push(size(attachment.bytes));
    parts.join(", ")
}

fn noun(essence: &str) -> String {
    let noun = match essence {
        "application/pdf" => "PDF",
        "text/vcard" | "text/x-vcard" | "text/directory" | "application/vcard" => "Contact card",
        "text/calendar" => "Calendar entry",
        "image/gif" => "GIF",
        // Phones record voice messages in every other audio format.
        "audio/mpeg" | "audio/mp3" | "audio/flac" => "Audio",
        _ if essence.starts_with("image/") => "Photo",
        _ if essence.starts_with("audio/") => "Voice message",
        _ if essence.starts_with("video/") => "Video",
        _ => {
            let essence = clean::line(essence, 60);
            return if essence.is_empty() {
                "File".to_owned()
            } else {
                format!("File ({essence})")
            };
        }
    };
    noun.to_owned()
}

/// `0:42`, or `1:02:03`.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_millis() >= 500);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// In powers of ten, as phones show sizes.
fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        ..1000 => format!("{bytes} bytes"),
        1000..999_500 => format!("{} kB", (bytes + 500) / 1000),
        _ => {
            let tenths = bytes.saturating_add(50_000) / 100_000;
            format!("{}.{} MB", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn attachment(content_type: &str, bytes: u64) -> Attachment {
        Attachment {
            position: 0,
            content_type: content_type.to_owned(),
            bytes,
            dimensions: None,
            duration: None,
            content: Arc::new(Vec::new()),
        }
    }

    #[test]
    fn a_description_has_what_is_known_and_leaves_out_what_is_not() {
        let photo = Attachment {
            dimensions: Some((1024, 768)),
            ..attachment("image/jpeg", 312_400)
        };
        assert_eq!(describe(&photo), "Photo, 1024×768, 312 kB");
        let voice = Attachment {
            duration: Some(Duration::from_millis(41_600)),
            ..attachment("Audio/OGG; codecs=opus", 98_000)
        };
        assert_eq!(describe(&voice), "Voice message, 0:42, 98 kB");
        let video = Attachment {
            dimensions: Some((640, 480)),
            duration: Some(Duration::from_secs(3723)),
            ..attachment("video/3gpp", 4_960_000)
        };
        assert_eq!(describe(&video), "Video, 640×480, 1:02:03, 5.0 MB");
    }

    #[test]
    fn every_type_has_a_name() {
        for (content_type, bytes, expected) in [
            ("application/pdf", 999, "PDF, 999 bytes"),
            ("text/x-vcard", 1, "Contact card, 1 byte"),
            ("image/gif", 999_499, "GIF, 999 kB"),
            ("audio/mpeg", 999_500, "Audio, 1.0 MB"),
            ("text/calendar", 0, "Calendar entry, 0 bytes"),
            (
                "application/\u{202e}zip\0",
                1500,
                "File (application/zip), 2 kB",
            ),
            ("", u64::MAX, "File, 18446744073709.5 MB"),
        ] {
            assert_eq!(describe(&attachment(content_type, bytes)), expected);
        }
    }
}
