//! Determines the kind of a file from its first bytes.
//!
//! The declared type is untrusted: the sender's phone and the carriers set it. It decides only what
//! the bytes leave open: whether a container has audio or video, and whether a text is part of the
//! message's wrapping. Kinds that are not listed here are not kept.

/// The number of first bytes that [`judge`] needs at most.
pub const HEAD: usize = 4096;

/// What to do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Keep it; it is of this kind.
    Allowed(MediaKind),
    /// Skip it: it is part of the message's wrapping, such as its layout or a copy of its text.
    Skipped,
    /// Its kind is not supported.
    NotSupported,
}

/// A kind of file that we keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaKind {
    /// Its MIME type, without parameters.
    pub mime: &'static str,
    /// Its class.
    pub class: MediaClass,
}

/// The class of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaClass {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// A film.
    Video,
    /// A contact card.
    Contact,
    /// A document to read.
    Document,
}

/// Decides about a file from its first bytes, of which [`HEAD`] are enough, and its declared type.
pub fn judge(head: &[u8], declared: Option<&str>) -> Judgement {
    let declared = declared.map(essence).unwrap_or_default();
    if let Some(kind) = kind(head, declared.starts_with("audio/")) {
        return Judgement::Allowed(kind);
    }
    let text = !head.contains(&0);
    let wrapping = ["application/smil", "application/smil+xml", "text/plain"]
        .contains(&declared.as_str())
        || starts_with_word(trimmed(head), b"<smil");
    if text && wrapping {
        Judgement::Skipped
    } else {
        Judgement::NotSupported
    }
}

/// The type without parameters: `audio/ogg` of `Audio/OGG; codecs=opus`.
fn essence(declared: &str) -> String {
    let end = declared.find(';').unwrap_or(declared.len());
    declared[..end].trim().to_ascii_lowercase()
}

fn kind(head: &[u8], declared_audio: bool) -> Option<MediaKind> {
    let either = |audio, video| {
        if declared_audio {
            sound(audio)
        } else {
            film(video)
        }
    };
    Some(match head {
        [0xff, 0xd8, 0xff, ..] => picture("image/jpeg"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => picture("image/png"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => picture("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => picture("image/webp"),
        // Canon's raw format begins as a TIFF does.
        [b'I', b'I', 42, 0, rest @ ..] | [b'M', b'M', 0, 42, rest @ ..]
            if !matches!(rest, [_, _, _, _, b'C', b'R', ..]) =>
        {
            picture("image/tiff")
        }
        [b'B', b'M', rest @ ..] if is_bitmap(rest) => picture("image/bmp"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'A',
            b'V',
            b'E',
            ..,
        ] => sound("audio/wav"),
        [b'#', b'!', b'A', b'M', b'R', b'\n', ..] => sound("audio/amr"),
        [b'#', b'!', b'A', b'M', b'R', b'-', b'W', b'B', b'\n', ..] => sound("audio/amr-wb"),
        [b'O', b'g', b'g', b'S', ..] => ogg(head)?,
        [b'I', b'D', b'3', ..] => sound("audio/mpeg"),
        [0xff, second, third, ..] if is_mp3_frame(*second, *third) => sound("audio/mpeg"),
        // MPEG-2 or 4, layer 0, with or without a checksum.
        [0xff, 0xf0 | 0xf1 | 0xf8 | 0xf9, ..] | [b'A', b'D', b'I', b'F', ..] => sound("audio/aac"),
        [0x1a, 0x45, 0xdf, 0xa3, rest @ ..] if is_webm(rest) => either("audio/webm", "video/webm"),
        [0, 0, 1, 0xb3 | 0xba, ..] => film("video/mpeg"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => iso_media(head, &either)?,
        // QuickTime from before there was a mark.
        [0, _, _, _, b'm', b'o', b'o', b'v', ..]
        | [_, _, _, _, b'm', b'd', b'a', b't', ..]
        | [0, 0, 0, 8, b'w', b'i', b'd', b'e', ..] => film("video/quicktime"),
        [b'%', b'P', b'D', b'F', b'-', ..] => MediaKind {
            mime: "application/pdf",
            class: MediaClass::Document,
        },
        _ if starts_with_word(trimmed(head), b"begin:vcard") => MediaKind {
            mime: "text/vcard",
            class: MediaClass::Contact,
        },
        _ => return None,
    })
}

/// MP4 and related formats, by brand. <https://mp4ra.org/registered-types/brands>
fn iso_media(
    head: &[u8],
    either: &dyn Fn(&'static str, &'static str) -> MediaKind,
) -> Option<MediaKind> {
    let length = usize::try_from(u32::from_be_bytes(*head.first_chunk()?)).ok()?;
    let brands = head.get(8..length.min(head.len()))?;
    let major: &[u8; 4] = brands.first_chunk()?;
    // After the major one and its version.
    let compatible = |brand: &[u8; 4]| {
        let others = brands.get(8..).unwrap_or_default();
        others.as_chunks().0.contains(brand)
    };
    Some(match major {
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"hevm" | b"hevs" => {
            picture("image/heic")
        }
        b"avif" | b"avis" => return None,
        b"mif1" | b"msf1" if compatible(b"avif") => return None,
        b"mif1" | b"msf1" if compatible(b"heic") || compatible(b"heix") => picture("image/heic"),
        b"mif1" | b"msf1" => picture("image/heif"),
        b"qt  " => film("video/quicktime"),
        b"M4A " | b"M4B " | b"F4A " => sound("audio/mp4"),
        [b'3', b'g', b'2', _] => either("audio/3gpp2", "video/3gpp2"),
        [b'3', b'g', ..] => either("audio/3gpp", "video/3gpp"),
        [b'i', b's', b'o', b'm' | b'2'..=b'9']
        | [b'm', b'p', b'4', b'1' | b'2' | b'v']
        | b"avc1"
        | b"dash"
        | b"mmp4"
        | b"MSNV"
        | b"M4V "
        | b"M4VH"
        | b"M4VP" => either("audio/mp4", "video/mp4"),
        _ => return None,
    })
}

/// Ogg audio, by the first packet of its first stream. Ogg video is not kept.
fn ogg(head: &[u8]) -> Option<MediaKind> {
    let segments = usize::from(*head.get(26)?);
    let packet = head.get(27 + segments..)?;
    let codecs: [&[u8]; 4] = [b"OpusHead", b"\x01vorbis", b"Speex   ", b"\x7fFLAC"];
    codecs
        .iter()
        .any(|codec| packet.starts_with(codec))
        .then_some(sound("audio/ogg"))
}

/// A BMP. Its second header begins with its length, which has few possible values. The two letters
/// `BM` are not enough, as texts can begin with them.
fn is_bitmap(after_mark: &[u8]) -> bool {
    matches!(
        after_mark.get(12..16),
        Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
    )
}

/// An MPEG frame of layer III, with a bit rate and a sample rate that exist.
fn is_mp3_frame(second: u8, third: u8) -> bool {
    let version_known = second & 0b0001_1000 != 0b0000_1000;
    let layer_three = second & 0b1110_0110 == 0b1110_0010;
    let bit_rate = third >> 4;
    let sample_rate = (third >> 2) & 0b11;
    layer_three && version_known && (1..15).contains(&bit_rate) && sample_rate != 3
}

/// `WebM`. Matroska uses the same container, and Twilio does not deliver it, so the document type
/// must match.
fn is_webm(after_mark: &[u8]) -> bool {
    let start = after_mark.get(..64).unwrap_or(after_mark);
    start.windows(7).any(|found| found == b"\x42\x82\x84webm")
}

/// Removes what may stand before a text.
fn trimmed(head: &[u8]) -> &[u8] {
    head.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(head)
        .trim_ascii_start()
}

/// Whether the text starts with this whole word, in any case.
fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    let Some((start, rest)) = text.split_at_checked(word.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(word) && !rest.first().is_some_and(u8::is_ascii_alphanumeric)
}

fn picture(mime: &'static str) -> MediaKind {
    let class = MediaClass::Image;
    MediaKind { mime, class }
}

fn sound(mime: &'static str) -> MediaKind {
    let class = MediaClass::Audio;
    MediaKind { mime, class }
}

fn film(mime: &'static str) -> MediaKind {
    let class = MediaClass::Video;
    MediaKind { mime, class }
}
