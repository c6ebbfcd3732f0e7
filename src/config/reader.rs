//! Reads settings and collects the mistakes in them, so that all mistakes are reported together.

use std::{collections::BTreeMap, fmt, path::Path};

use anyhow::Context;

use super::variables::VARIABLES;

/// The settings as text. Flags win over the environment, the environment over `.env`, and `.env`
/// over defaults. An empty value counts as not set.
#[derive(Clone)]
pub struct Env(BTreeMap<String, String>);

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish() // names only: values may be secrets
    }
}

impl Env {
    /// Reads the process's environment, and `file` or else a `.env` in this folder or one above it.
    ///
    /// # Errors
    /// If `file` is missing, or a file cannot be read.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the environment"
    )]
    pub fn load(file: Option<&Path>, flags: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let entries = match file {
            Some(path) => {
                let name = path.display();
                let entries = dotenvy::from_path_iter(path);
                Some(
                    entries
                        .ok()
                        .with_context(|| format!("the file {name} cannot be read"))?,
                )
            }
            None => match dotenvy::dotenv_iter() {
                Ok(entries) => Some(entries),
                Err(error) if error.not_found() => None,
                Err(_) => anyhow::bail!("the .env file cannot be read: check its permissions"),
            },
        };
        let mut values = BTreeMap::new();
        for entry in entries.into_iter().flatten() {
            // The error itself would quote the line, which may hold a secret.
            let (name, value) = entry.ok().context(
                "a line of the .env file cannot be read: each must be NAME=value, with quotes around a value that \
                 has blanks or a #",
            )?;
            values.insert(name, value);
        }
        for variable in VARIABLES {
            match std::env::var(variable.name) {
                Ok(value) => drop(values.insert(variable.name.to_owned(), value)),
                Err(std::env::VarError::NotPresent) => {}
                Err(std::env::VarError::NotUnicode(_)) => {
                    anyhow::bail!("{} is not UTF-8 in the environment", variable.name)
                }
            }
        }
        values.extend(flags);
        Ok(Self::of(values))
    }

    /// These values only, without the environment.
    pub fn of(values: BTreeMap<String, String>) -> Self {
        Self(
            values
                .into_iter()
                .filter(|(_, value)| !value.trim().is_empty())
                .collect(),
        )
    }

    /// The same settings with one replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    fn get(&self, name: &str) -> Option<&str> {
        let variable = VARIABLES.iter().find(|variable| variable.name == name);
        debug_assert!(variable.is_some(), "{name} must be in VARIABLES");
        self.0
            .get(name)
            .map(|value| value.trim())
            .or(variable.and_then(|v| v.default))
    }
}

/// All mistakes in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// Each mistake, by the name of its setting.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, s) = (self.0.len(), if self.0.len() == 1 { "" } else { "s" });
        write!(f, "the configuration has {count} mistake{s}:")?;
        for mistake in &self.0 {
            write!(f, "\n  {mistake}")?;
        }
        write!(
            f,
            "\nSet them in the environment or in a file .env; .env.example explains each."
        )
    }
}

/// Reads settings one by one. It collects mistakes and does not return them.
#[derive(Debug)]
pub struct Reader<'e> {
    env: &'e Env,
    mistakes: Vec<String>,
}

impl<'e> Reader<'e> {
    /// Reads a value that is made of several settings. `read` returns `None` if one of them is
    /// wrong, after it has read all of them.
    pub fn read<T>(env: &'e Env, read: impl FnOnce(&mut Self) -> Option<T>) -> Result<T, Mistakes> {
        let mut reader = Self {
            env,
            mistakes: Vec::new(),
        };
        let value = read(&mut reader);
        match value {
            Some(value) if reader.mistakes.is_empty() => Ok(value),
            _ => Err(Mistakes(reader.mistakes)),
        }
    }

    /// The text of a setting, if it is set or has a default.
    pub fn text(&self, name: &str) -> Option<&'e str> {
        self.env.get(name)
    }

    /// Adds a mistake, once even if several structs read the same setting. The text must not quote
    /// a secret.
    pub fn mistake(&mut self, name: &str, what: impl fmt::Display) {
        let mistake = format!("{name} {what}");
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// A setting that must be set. An error of `parse` tells what would be right.
    pub fn required<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if let Some(text) = self.text(name) {
            return self.parsed(name, text, parse);
        }
        let help = VARIABLES
            .iter()
            .find(|v| v.name == name)
            .map_or("", |v| v.help);
        self.mistake(name, format_args!("is not set. {help}."));
        None
    }

    /// A setting that may be missing: `Some(None)` if it is missing, `None` if it is wrong.
    pub fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.text(name) {
            Some(text) => self.parsed(name, text, parse).map(Some),
            None => Some(None),
        }
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text).map_err(|what| self.mistake(name, what)).ok()
    }
}
