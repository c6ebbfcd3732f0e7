//! One setting: its name, its default and its meaning.

/// A setting. A flag wins over the environment, the environment over `.env`, and `.env` over the
/// default.
#[derive(Debug)]
pub struct Variable {
    /// The environment variable. Its flag is the same in lower case with dashes.
    pub name: &'static str,
    /// What the value looks like, for help.
    pub value: &'static str,
    /// The value when it is not set.
    pub default: Option<&'static str>,
    /// A secret has no flag: all users of a machine can read command lines.
    pub secret: bool,
    /// The meaning in one line, without a full stop.
    pub help: &'static str,
    /// The heading in `docs/configuration.md`.
    pub section: &'static str,
}

impl Variable {
    /// The flag, without its dashes.
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }
}
