//! An error with its causes, in one line of the log.

use std::{error::Error, fmt};

/// Shows the error and all its causes. The log's JSON shows only the first of a
/// `&dyn Error`.
pub(crate) struct ErrorChain<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut shown = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if text != shown {
                write!(f, ": {text}")?;
            }
            (shown, cause) = (text, error.source());
        }
        Ok(())
    }
}
