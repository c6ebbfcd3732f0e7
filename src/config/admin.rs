//! The settings of the admin listener.

use std::net::SocketAddr;

use secrecy::SecretString;

use super::{parse::socket_addr, reader::Reader};

/// The shortest token that cannot be guessed.
const TOKEN_LENGTH: usize = 16;

/// The admin listener.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// `ADMIN_ADDR`.
    pub addr: SocketAddr,
    /// `ADMIN_TOKEN`.
    pub token: Option<SecretString>,
}

impl AdminConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let addr = r.required("ADMIN_ADDR", socket_addr);
        let token = r.optional("ADMIN_TOKEN", |text| {
            if text.chars().count() < TOKEN_LENGTH {
                return Err(format!(
                    "must have at least {TOKEN_LENGTH} characters: `openssl rand -hex 16` makes one"
                ));
            }
            Ok(SecretString::from(text.to_owned()))
        });
        Some(Self {
            addr: addr?,
            token: token?,
        })
    }
}
