//! The media files that a webhook announces. An announcement is not a permission to fetch its URL.

use std::fmt;

use crate::payload::{PayloadError, optional};

/// The most media that one message can carry.
pub const MAX_MEDIA: u8 = 10;

/// One media file as the webhook announces it. Its URL is not checked and may name any host.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaItem {
    /// The N of `MediaUrlN`, 0 to 9.
    pub index: u8,
    /// `MediaUrlN`, unchanged.
    pub url: String,
    /// `MediaContentTypeN`, unchanged, unless absent or empty. It may be wrong.
    pub content_type: Option<String>,
}

impl fmt::Debug for MediaItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaItem({}, [sealed])", self.index)
    }
}

pub(crate) fn read(fields: &[(String, String)]) -> Result<Vec<MediaItem>, PayloadError> {
    let mut items = Vec::new();
    for index in 0..MAX_MEDIA {
        let url = optional(fields, &format!("MediaUrl{index}"), "MediaUrlN")?;
        let content_type = optional(
            fields,
            &format!("MediaContentType{index}"),
            "MediaContentTypeN",
        )?;
        if let Some(url) = url.filter(|url| !url.is_empty()) {
            let content_type = content_type.filter(|t| !t.is_empty()).map(str::to_owned);
            items.push(MediaItem {
                index,
                url: url.to_owned(),
                content_type,
            });
        }
    }
    Ok(items)
}

/// Counts the `MediaUrlN` that are not empty, for any N.
pub(crate) fn count_announced(fields: &[(String, String)]) -> usize {
    let numbered = |name: &str| {
        let digits = name.strip_prefix("MediaUrl").unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    fields
        .iter()
        .filter(|(name, url)| numbered(name) && !url.is_empty())
        .count()
}
