//! The files that come with made-up messages: a real one of each type, and small.

use axum::body::Bytes;

use super::hex;

/// A file to be served.
#[derive(Debug)]
pub(super) struct Sample {
    /// The type by which it is asked for, and as which a webhook declares it.
    pub(super) content_type: &'static str,
    file: File,
}

#[derive(Debug)]
enum File {
    /// As it is.
    Of(&'static [u8]),
    /// Made when it is asked for, as it is large.
    Made(fn() -> Vec<u8>),
}

impl Sample {
    pub(super) fn bytes(&self) -> Bytes {
        match self.file {
            File::Of(bytes) => Bytes::from_static(bytes),
            File::Made(make) => make().into(),
        }
    }

    /// Is the answer to say how long it is? Of one kind it does not, as hosts may leave that out.
    pub(super) fn announces_its_length(&self) -> bool {
        self.content_type != "audio/wav"
    }
}

const fn sample(content_type: &'static str, bytes: &'static [u8]) -> Sample {
    let file = File::Of(bytes);
    Sample { content_type, file }
}

/// The place of each is part of its SIDs.
static SAMPLES: [Sample; 16] = [
    sample("image/jpeg", include_bytes!("samples/photo.jpg")),
    sample("image/png", include_bytes!("samples/picture.png")),
    sample("image/gif", include_bytes!("samples/picture.gif")),
    sample("image/webp", include_bytes!("samples/picture.webp")),
    sample("text/vcard", include_bytes!("samples/card.vcf")),
    sample("audio/ogg", include_bytes!("samples/voice.ogg")),
    sample("audio/amr", include_bytes!("samples/voice.amr")),
    sample("audio/mpeg", include_bytes!("samples/voice.mp3")),
    sample("video/mp4", include_bytes!("samples/clip.mp4")),
    sample("video/3gpp", include_bytes!("samples/clip.3gp")),
    sample("application/pdf", include_bytes!("samples/paper.pdf")),
    sample("application/smil", include_bytes!("samples/layout.smil")),
    sample("text/plain", b"The text of the message, once more.\n"),
    // No receiver of messages should keep it.
    sample("application/zip", include_bytes!("samples/things.zip")),
    Sample {
        content_type: "image/bmp",
        file: File::Made(bitmap),
    },
    Sample {
        content_type: "audio/wav",
        file: File::Made(wave),
    },
];

/// A new SID of a file of this type. It says which sample it is, as whoever serves it may be another process; of a type
/// that there is no sample of, there will be no file.
pub(super) fn new_sid(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let place = SAMPLES
        .iter()
        .position(|sample| sample.content_type.eq_ignore_ascii_case(essence));
    let place = place.and_then(|place| u8::try_from(place).ok());
    format!("ME{:02x}{}", place.unwrap_or(u8::MAX), &hex()[2..])
}

/// What this SID says.
pub(super) fn of(sid: &str) -> Option<&'static Sample> {
    let digits = sid.strip_prefix("ME")?;
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let place = usize::from_str_radix(digits.get(..2)?, 16).ok()?;
    SAMPLES.get(place)
}

/// 1024 pixels wide and high, which takes 3 MB, as nothing is compressed.
fn bitmap() -> Vec<u8> {
    const SIDE: u32 = 1024;
    const HEADERS: u32 = 54;
    let pixels = SIDE * SIDE * 3;
    let mut file = b"BM".to_vec();
    for number in [HEADERS + pixels, 0, HEADERS, 40, SIDE, SIDE] {
        file.extend(number.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]); // one plane, 24 bits a pixel
    for number in [0, pixels, 2835, 2835, 0, 0] {
        file.extend(u32::to_le_bytes(number));
    }
    file.extend((0..pixels).map(|at| (at / 3 % SIDE / 4).to_le_bytes()[0]));
    file
}

/// Four minutes of silence at 8 kHz, which take 2 MB.
fn wave() -> Vec<u8> {
    const RATE: u32 = 8000;
    const SAMPLES: u32 = RATE * 240;
    let mut file = b"RIFF".to_vec();
    file.extend((SAMPLES + 36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(RATE.to_le_bytes());
    file.extend(RATE.to_le_bytes()); // bytes a second
    file.extend(b"\x01\0\x08\0data");
    file.extend(SAMPLES.to_le_bytes());
    file.resize(file.len() + SAMPLES as usize, 0x80);
    file
}

#[cfg(test)]
mod tests {
    use twilio::media::kind::{Judgement, judge};

    use super::*;

    #[test]
    fn each_sample_is_what_it_is_declared_to_be() {
        for sample in &SAMPLES {
            let declared = Some(sample.content_type);
            match (sample.content_type, judge(&sample.bytes(), declared)) {
                ("application/smil" | "text/plain", Judgement::Skipped)
                | ("application/zip", Judgement::NotSupported) => {}
                (content_type, Judgement::Allowed(kind)) => assert_eq!(kind.mime, content_type),
                (content_type, judgement) => panic!("{content_type}: {judgement:?}"),
            }
        }
    }

    #[test]
    fn a_sid_says_which_sample_it_is() {
        for sample in &SAMPLES {
            let sid = new_sid(sample.content_type);
            assert_eq!(sid.len(), 34);
            assert_eq!(
                of(&sid).map(|found| found.content_type),
                Some(sample.content_type)
            );
        }
        assert_eq!(
            of(&new_sid("Image/PNG; name=x")).map(|s| s.content_type),
            Some("image/png")
        );
        assert!(of(&new_sid("application/x-msdownload")).is_none());
        for sid in [
            "",
            "ME",
            "ME00",
            &format!("MM{}", "0".repeat(32)),
            &format!("ME{}é", "0".repeat(30)),
        ] {
            assert!(of(sid).is_none(), "{sid}");
        }
    }

    #[test]
    fn the_large_samples_are_as_long_as_they_say() {
        assert_eq!(bitmap().len(), 54 + 3 * 1024 * 1024);
        assert_eq!(wave().len(), 44 + 1_920_000);
    }
}
