//! `--fix`: changes settings at Twilio, once they were shown and agreed to.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use twilio::{
    PhoneNumberSid,
    rest::{AskError, Client},
};

use super::{report::Report, webhook::without_password};
use crate::cli::output::plain;

/// A setting that is to have another value.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Change {
    /// Twilio's name of it.
    setting: &'static str,
    /// As it may be shown.
    from: String,
    to: String,
    /// It was done.
    pub(super) done: bool,
}

impl Change {
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

/// Where settings are to change.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// At a phone number.
    Number(PhoneNumberSid),
    /// At a messaging service.
    Service(String),
}

/// All that is to change, in one place.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) client: Client,
    pub(super) place: Place,
    pub(super) changes: Vec<Change>,
}

impl Plan {
    fn text(&self) -> String {
        let place = match &self.place {
            Place::Number(sid) => format!("the phone number {sid}"),
            Place::Service(sid) => format!("the messaging service {sid}"),
        };
        let or_none = |text: &str| {
            if text.is_empty() {
                "(none)".to_owned()
            } else {
                plain(text)
            }
        };
        let changes = self.changes.iter().map(|change| {
            let Change {
                setting, from, to, ..
            } = change;
            let (from, to) = (or_none(from), or_none(to));
            format!("  {setting}\n    from  {from}\n    to    {to}\n")
        });
        let heading = format!("To be changed at Twilio, at {place}:\n");
        std::iter::once(heading).chain(changes).collect()
    }

    /// Does it, all or nothing.
    pub(super) async fn apply(&mut self) -> Result<(), AskError> {
        let changes: Vec<_> = self
            .changes
            .iter()
            .cloned()
            .map(Change::into_parts)
            .collect();
        match &self.place {
            Place::Number(sid) => self.client.change_number(sid, &changes).await?,
            Place::Service(sid) => self.client.change_service(sid, &changes).await?,
        }
        for change in &mut self.changes {
            change.done = true;
        }
        Ok(())
    }

    /// Shows it, and asks whether to do it, on the standard error: the report is all that scripts are to read.
    pub(super) fn agreed(&self, yes: bool) -> io::Result<bool> {
        let mut terminal = io::stderr().lock();
        terminal.write_all(self.text().as_bytes())?;
        if yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            writeln!(
                terminal,
                "Nothing was changed, as nobody can be asked: add --yes."
            )?;
            return Ok(false);
        }
        write!(terminal, "Change it? [y/N] ")?;
        terminal.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }
}

impl Report {
    /// Notes what was to change, done or not.
    pub(super) fn note(&mut self, plan: Plan) {
        self.changes.extend(plan.changes);
    }
}
