//! `--fix`: shows the changes of settings at Twilio, asks, and makes them.

use std::io::{self, IsTerminal, Write};

use twilio::{
    PhoneNumberSid,
    rest::{AskError, Client},
};

use super::change::ProposedChange;
use crate::presentation::text::one_line;

/// The resource at Twilio whose settings change.
#[derive(Debug, Clone)]
pub(super) enum TwilioResource {
    Number(PhoneNumberSid),
    /// A messaging service, by its SID.
    Service(String),
}

/// Changes of one resource's settings.
#[derive(Debug)]
pub(super) struct TwilioFix {
    pub(super) client: Client,
    pub(super) resource: TwilioResource,
    pub(super) changes: Vec<ProposedChange>,
}

impl TwilioFix {
    fn text(&self) -> String {
        let resource = match &self.resource {
            TwilioResource::Number(sid) => format!("the phone number {sid}"),
            TwilioResource::Service(sid) => format!("the messaging service {sid}"),
        };
        let or_none = |text: &str| {
            if text.is_empty() {
                "(none)".to_owned()
            } else {
                one_line(text)
            }
        };
        let changes = self.changes.iter().map(|change| {
            let ProposedChange {
                setting, from, to, ..
            } = change;
            let (from, to) = (or_none(from), or_none(to));
            format!("  {setting}\n    from  {from}\n    to    {to}\n")
        });
        let heading = format!("Changes at Twilio, for {resource}:\n");
        std::iter::once(heading).chain(changes).collect()
    }

    /// Makes all changes in one request.
    pub(super) async fn apply(&mut self) -> Result<(), AskError> {
        let changes: Vec<_> = self
            .changes
            .iter()
            .cloned()
            .map(ProposedChange::into_parts)
            .collect();
        match &self.resource {
            TwilioResource::Number(sid) => self.client.change_number(sid, &changes).await?,
            TwilioResource::Service(sid) => self.client.change_service(sid, &changes).await?,
        }
        for change in &mut self.changes {
            change.done = true;
        }
        Ok(())
    }

    /// Shows the changes and asks for confirmation, on the standard error: the standard output is
    /// the report alone.
    pub(super) fn is_confirmed(&self, yes: bool) -> io::Result<bool> {
        let mut terminal = io::stderr().lock();
        terminal.write_all(self.text().as_bytes())?;
        if yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            writeln!(
                terminal,
                "Nothing was changed, because the command cannot ask without a terminal: add --yes."
            )?;
            return Ok(false);
        }
        write!(terminal, "Make these changes? [y/N] ")?;
        terminal.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "y" | "yes"
        ))
    }
}
