//! A setting: its name, default and meaning.

/// One setting. Read from a flag, else from the environment, else from `.env`, else its default.
#[derive(Debug)]
pub struct Variable {
    /// The environment variable. Its flag is the same in lower case with dashes.
    pub name: &'static str,
    /// What the value looks like, for help.
    pub value: &'static str,
    /// The value when it is not set.
    pub default: Option<&'static str>,
    /// A secret has no flag: command lines are seen by everyone on the machine.
    pub secret: bool,
    /// One line of why.
    pub help: &'static str,
}

impl Variable {
    /// The flag, without its dashes.
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }
}

pub(super) const fn variable(
    name: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Variable {
    Variable {
        name,
        value,
        default,
        secret: false,
        help,
    }
}

pub(super) const fn secret(
    name: &'static str,
    value: &'static str,
    help: &'static str,
) -> Variable {
    Variable {
        name,
        value,
        default: None,
        secret: true,
        help,
    }
}

/// The text of `.env.example`.
#[cfg(test)]
pub(super) fn example(variables: &[Variable]) -> String {
    let head = "# Every setting of Pigeonhole, with its default where it has one. Copy to `.env` and fill in what you \
                need;\n# what is set in the environment wins over `.env`, and a flag wins over both.\n";
    let entries = variables.iter().map(
        |Variable {
             name,
             help,
             default,
             value,
             ..
         }| match default {
            Some(default) => format!("\n# {help}.\n# {name}={default}\n"),
            None => format!("\n# {help}.\n# {name}=  # {value}\n"),
        },
    );
    std::iter::once(head.to_owned()).chain(entries).collect()
}
