//! What an SMS is for.

/// What an SMS is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It carries a verification code.
    Verification,
    /// It replies to a message.
    Reply,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 2] = [Self::Verification, Self::Reply];

    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Reply => "reply",
        }
    }
}
