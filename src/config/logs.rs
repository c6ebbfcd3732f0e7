//! The settings of logs.

use super::reader::Reader;

/// How the process logs.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `RUST_LOG`.
    pub filter: String,
    /// `LOG_FORMAT` is `json`.
    pub json: bool,
}

impl LogConfig {
    /// Reads the settings.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let filter = r.required("RUST_LOG", |text| {
            tracing_subscriber::EnvFilter::try_new(text)
                .map(|_| text.to_owned())
                .map_err(|_| "must be a level such as info, or target=level pairs".to_owned())
        });
        let json = r.required("LOG_FORMAT", |text| match text {
            "json" => Ok(true),
            "pretty" => Ok(false),
            _ => Err("must be pretty or json".to_owned()),
        });
        Some(Self {
            filter: filter?,
            json: json?,
        })
    }
}
