//! Embeds the SQL functions of `migrations/functions/` in the program, and rebuilds the crate when
//! a migration or a function changes.

use std::{env, error::Error, fmt::Write, fs, path::Path};

/// Applied after all others: it changes them.
const LAST: &str = "planner_settings";

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes a build script its folders in the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../../migrations");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../migrations/functions");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".sql"));
        names.push(name.ok_or("a file in functions/ is no .sql")?.to_owned());
    }
    names.sort_unstable_by_key(|name| (name == LAST, name.clone()));
    let mut list = String::from("&[\n");
    for name in names {
        let path = folder.join(format!("{name}.sql"));
        let revision = revision(&fs::read_to_string(&path)?)
            .ok_or_else(|| format!("{name}.sql has no line `-- Revision: N`"))?;
        let path = path
            .to_str()
            .ok_or("the path of the repository is not UTF-8")?;
        writeln!(list, "({name:?}, {revision}, include_str!({path:?})),")?;
    }
    list.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("functions.rs"), list)?;
    Ok(())
}

fn revision(sql: &str) -> Option<i32> {
    sql.lines()
        .find_map(|line| line.strip_prefix("-- Revision: "))
        .and_then(|revision| revision.trim().parse().ok())
}
