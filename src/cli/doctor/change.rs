//! A change of one setting at Twilio.

use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub(super) struct ProposedChange {
    /// Twilio's name of the setting.
    pub(super) setting: &'static str,
    /// The old value, without the password if it is a URL with one.
    pub(super) from: String,
    pub(super) to: String,
    /// Whether the change was made.
    pub(super) done: bool,
}

impl ProposedChange {
    pub(super) fn new(setting: &'static str, from: &str, to: String) -> Self {
        Self {
            setting,
            from: without_password(from),
            to,
            done: false,
        }
    }

    pub(super) fn into_parts(self) -> (&'static str, String) {
        (self.setting, self.to)
    }
}

/// The URL without its user name and password, so that it can be printed.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for (url, shown) in [
            ("https://me:s3cret@h/a@b", "https://…@h/a@b"),
            ("https://h/a?x=@", "https://h/a?x=@"),
            ("none", "none"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
