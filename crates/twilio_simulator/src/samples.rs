//! The files of simulated messages: a small, real file of each type.

use axum::body::Bytes;

use crate::ids::random_hex;

/// A file that the API serves.
#[derive(Debug)]
pub(crate) struct SampleFile {
    /// The MIME type that a webhook declares for it.
    pub(crate) content_type: &'static str,
    file: SampleContent,
}

#[derive(Debug)]
enum SampleContent {
    /// Stored bytes.
    Stored(&'static [u8]),
    /// A large file, which is generated for each request.
    Generated(fn() -> Vec<u8>),
}

impl SampleFile {
    pub(crate) fn bytes(&self) -> Bytes {
        match self.file {
            SampleContent::Stored(bytes) => Bytes::from_static(bytes),
            SampleContent::Generated(make) => make().into(),
        }
    }

    /// Whether the answer has a `Content-Length`. One type has none, as hosts may omit it.
    pub(crate) fn has_content_length(&self) -> bool {
        self.content_type != "audio/wav"
    }
}

const fn sample(content_type: &'static str, bytes: &'static [u8]) -> SampleFile {
    let file = SampleContent::Stored(bytes);
    SampleFile { content_type, file }
}

/// The samples. A file's SID contains the index of its sample.
static SAMPLES: [SampleFile; 16] = [
    sample("image/jpeg", include_bytes!("../samples/photo.jpg")),
    sample("image/png", include_bytes!("../samples/picture.png")),
    sample("image/gif", include_bytes!("../samples/picture.gif")),
    sample("image/webp", include_bytes!("../samples/picture.webp")),
    sample("text/vcard", include_bytes!("../samples/card.vcf")),
    sample("audio/ogg", include_bytes!("../samples/voice.ogg")),
    sample("audio/amr", include_bytes!("../samples/voice.amr")),
    sample("audio/mpeg", include_bytes!("../samples/voice.mp3")),
    sample("video/mp4", include_bytes!("../samples/clip.mp4")),
    sample("video/3gpp", include_bytes!("../samples/clip.3gp")),
    sample("application/pdf", include_bytes!("../samples/paper.pdf")),
    sample("application/smil", include_bytes!("../samples/layout.smil")),
    sample("text/plain", b"The text of the message, once more.\n"),
    // A receiver should not keep this one.
    sample("application/zip", include_bytes!("../samples/things.zip")),
    SampleFile {
        content_type: "image/bmp",
        file: SampleContent::Generated(bitmap),
    },
    SampleFile {
        content_type: "audio/wav",
        file: SampleContent::Generated(wave),
    },
];

/// Returns a new SID for a file of this type. The SID names the sample, as another process may
/// serve the file. A type without a sample gets a SID without a file.
pub(crate) fn new_sid(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let index = SAMPLES
        .iter()
        .position(|sample| sample.content_type.eq_ignore_ascii_case(essence));
    let index = index.and_then(|index| u8::try_from(index).ok());
    format!("ME{:02x}{}", index.unwrap_or(u8::MAX), &random_hex()[2..])
}

/// Returns the sample that this SID names.
pub(crate) fn by_sid(sid: &str) -> Option<&'static SampleFile> {
    let digits = sid.strip_prefix("ME")?;
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let index = usize::from_str_radix(digits.get(..2)?, 16).ok()?;
    SAMPLES.get(index)
}

/// An image of 1024 by 1024 pixels. It takes 3 MB, as it is not compressed.
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
    fn each_sample_has_its_declared_type() {
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
    fn a_sid_names_its_sample() {
        for sample in &SAMPLES {
            let sid = new_sid(sample.content_type);
            assert_eq!(sid.len(), 34);
            assert_eq!(
                by_sid(&sid).map(|found| found.content_type),
                Some(sample.content_type)
            );
        }
        assert_eq!(
            by_sid(&new_sid("Image/PNG; name=x")).map(|s| s.content_type),
            Some("image/png")
        );
        assert!(by_sid(&new_sid("application/x-msdownload")).is_none());
        for sid in [
            "",
            "ME",
            "ME00",
            &format!("MM{}", "0".repeat(32)),
            &format!("ME{}é", "0".repeat(30)),
        ] {
            assert!(by_sid(sid).is_none(), "{sid}");
        }
    }

    #[test]
    fn the_large_samples_have_the_expected_length() {
        assert_eq!(bitmap().len(), 54 + 3 * 1024 * 1024);
        assert_eq!(wave().len(), 44 + 1_920_000);
    }
}
