//! The files of a crate that use one another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::source::ProductSource;

/// The names of a module from the crate's root. The root's path is empty.
type ModulePath = Vec<String>;

type Edges<'a> = BTreeMap<&'a ModulePath, BTreeSet<&'a ModulePath>>;

/// The most re-exports and imports to follow for one path.
const LONGEST_CHAIN: usize = 16;

/// A file, which is one module.
#[derive(Debug)]
struct ModuleFile {
    file: PathBuf,
    imports: Vec<Import>,
    /// All other paths in the code.
    paths: Vec<Vec<String>>,
}

impl ModuleFile {
    fn first_names(&self) -> BTreeSet<&str> {
        let imports = self.imports.iter().map(|import| &import.path);
        let all = imports.chain(&self.paths);
        all.filter_map(|path| path.first().map(String::as_str))
            .collect()
    }
}

/// One name that a `use` declaration imports.
#[derive(Debug)]
struct Import {
    name: String,
    path: Vec<String>,
    /// A `pub use` of a name that the rest of the file does not mention.
    is_re_export: bool,
}

impl Import {
    fn new(name: &str, path: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            path,
            is_re_export: false,
        }
    }
}

/// The files of a crate.
#[derive(Debug)]
pub(super) struct CrateFiles {
    modules: BTreeMap<ModulePath, ModuleFile>,
}

impl CrateFiles {
    /// Reads the given files, which are below the crate's folder `src`.
    pub(super) fn read(src: &Path, files: &[PathBuf]) -> Self {
        let mut modules = BTreeMap::new();
        let mut tests: Vec<ModulePath> = Vec::new();
        for file in files {
            let path = module_path(file.strip_prefix(src).unwrap());
            let product = ProductSource::parse(&fs::read_to_string(file).unwrap());
            let test_modules = product.test_modules.iter();
            tests.extend(test_modules.map(|name| child(&path, name)));
            let (imports, paths) = imports_and_paths(&product.tokens);
            let file = file.clone();
            let module = ModuleFile {
                file,
                imports,
                paths,
            };
            modules.insert(path, module);
        }
        modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
        Self { modules }
    }

    /// The first names of all paths in each file. The names of other crates are among them.
    pub(super) fn first_names(&self) -> BTreeMap<&Path, BTreeSet<&str>> {
        let modules = self.modules.values();
        modules
            .map(|module| (module.file.as_path(), module.first_names()))
            .collect()
    }

    /// The files that each file uses. A re-export alone is no use.
    fn edges(&self) -> Edges<'_> {
        let used_by = |path: &ModulePath, module: &ModuleFile| {
            let imports = module.imports.iter();
            let imports = imports.filter(|import| !import.is_re_export);
            let used = imports.map(|import| &import.path).chain(&module.paths);
            let used = used.filter_map(|used| self.resolve(path, used, LONGEST_CHAIN));
            used.filter(|used| *used != path).collect()
        };
        let modules = self.modules.iter();
        modules
            .map(|(path, module)| (path, used_by(path, module)))
            .collect()
    }

    /// The module that defines what a path names; `None` if another crate defines it.
    fn resolve(&self, at: &ModulePath, path: &[String], chain: usize) -> Option<&ModulePath> {
        let (mut here, mut rest) = (at.clone(), path);
        match path.first()?.as_str() {
            "crate" => (here, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    here.pop();
                    rest = &rest[1..];
                }
            }
            first if self.modules.contains_key(&child(at, first)) => {}
            first => {
                let mut imports = self.modules[at].imports.iter();
                let import = imports.find(|import| import.name == first)?;
                let whole: Vec<_> = import.path.iter().chain(&path[1..]).cloned().collect();
                return self.resolve(at, &whole, chain.checked_sub(1)?);
            }
        }
        while let Some(name) = rest.first() {
            let below = child(&here, name);
            if !self.modules.contains_key(&below) {
                break;
            }
            (here, rest) = (below, &rest[1..]);
        }
        let (found, module) = self.modules.get_key_value(&here)?;
        let re_exported = rest.first().and_then(|name| {
            let mut imports = module.imports.iter();
            let import = imports.find(|import| import.name == *name)?;
            let whole: Vec<_> = import.path.iter().chain(&rest[1..]).cloned().collect();
            self.resolve(found, &whole, chain.checked_sub(1)?)
        });
        Some(re_exported.unwrap_or(found))
    }

    /// The sets of files in which each file uses itself through the others.
    pub(super) fn circles(&self) -> Vec<String> {
        let edges = self.edges();
        let reached: Edges<'_> = edges
            .keys()
            .map(|start| (*start, reachable(&edges, start)))
            .collect();
        let mut circles = BTreeSet::new();
        for (module, others) in &reached {
            let others = others.iter().copied();
            let circle: BTreeSet<_> = others
                .filter(|other| reached[other].contains(module))
                .collect();
            if circle.contains(module) {
                circles.insert(circle);
            }
        }
        circles
            .iter()
            .map(|circle| self.describe(&edges, circle))
            .collect()
    }

    fn describe(&self, edges: &Edges<'_>, circle: &BTreeSet<&ModulePath>) -> String {
        let name = |module: &ModulePath| self.modules[module].file.display().to_string();
        let lines = circle.iter().map(|module| {
            let used = edges[module].intersection(circle).map(|used| name(used));
            let used: Vec<_> = used.collect();
            format!("    {}\n        uses {}\n", name(module), used.join(", "))
        });
        let lines: String = lines.collect();
        format!("circle of {} files:\n{lines}", circle.len())
    }
}

fn reachable<'a>(edges: &Edges<'a>, start: &'a ModulePath) -> BTreeSet<&'a ModulePath> {
    let mut open: Vec<_> = edges[start].iter().copied().collect();
    let mut reached = BTreeSet::new();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(&edges[module]);
        }
    }
    reached
}

fn child(module: &ModulePath, name: &str) -> ModulePath {
    let mut path = module.clone();
    path.push(name.to_owned());
    path
}

/// `a/b.rs` and `a/b/mod.rs` are the module `a::b`; `lib.rs` is the root.
fn module_path(file: &Path) -> ModulePath {
    let mut path: ModulePath = file
        .with_extension("")
        .iter()
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] {
        path.pop();
    }
    path
}

/// The imports of a file, and all other paths in its code.
fn imports_and_paths(tokens: &[String]) -> (Vec<Import>, Vec<Vec<String>>) {
    let (mut imports, mut paths) = (Vec::new(), Vec::new());
    let mut mentioned = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map_or("", |at| tokens[at].as_str());
        let after = tokens.get(at + 1).map_or("", String::as_str);
        if tokens[at] == "use" && after != "<" {
            let start = imports.len();
            at = use_tree(tokens, at + 1, &[], &mut imports);
            for import in &mut imports[start..] {
                import.is_re_export = ["pub", ")"].contains(&before);
            }
        } else if after == "::" && is_name(&tokens[at]) && !["::", "in"].contains(&before) {
            let mut path = vec![tokens[at].clone()];
            at += 1;
            while tokens.get(at).is_some_and(|token| token == "::")
                && tokens.get(at + 1).is_some_and(|token| is_name(token))
            {
                path.push(tokens[at + 1].clone());
                at += 2;
            }
            mentioned.insert(path[0].clone());
            paths.push(path);
        } else {
            mentioned.insert(tokens[at].clone());
            at += 1;
        }
    }
    for import in &mut imports {
        import.is_re_export &= !mentioned.contains(&import.name);
    }
    (imports, paths)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one tree of a `use` declaration. Returns the index after it.
fn use_tree(
    tokens: &[String],
    start: usize,
    before: &[String],
    imports: &mut Vec<Import>,
) -> usize {
    let mut path = before.to_vec();
    let mut at = start;
    if tokens[at] == "::" {
        path.push("::".to_owned()); // `use ::twilio` names another crate
        at += 1;
    }
    loop {
        match tokens[at].as_str() {
            "{" => {
                at += 1;
                while tokens[at] != "}" {
                    at = use_tree(tokens, at, &path, imports);
                    if tokens[at] == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "*" => {
                imports.push(Import::new("*", path));
                return at + 1;
            }
            "self" if !path.is_empty() => at += 1,
            name => {
                path.push(name.to_owned());
                at += 1;
            }
        }
        match tokens[at].as_str() {
            "::" => at += 1,
            "as" => {
                imports.push(Import::new(&tokens[at + 1], path));
                return at + 2;
            }
            _ => {
                let name = path.last().cloned().unwrap_or_default();
                imports.push(Import::new(&name, path));
                return at;
            }
        }
    }
}

#[test]
fn a_use_declaration_is_read_as_its_paths() {
    let product = ProductSource::parse(
        "pub use crate::{a::{self, B as C}, d::*}; fn x() -> impl Y + use<'_> { super::e::f(C) }",
    );
    let (imports, paths) = imports_and_paths(&product.tokens);
    let texts: Vec<_> = imports
        .iter()
        .map(|import| format!("{} = {}", import.name, import.path.join("::")))
        .collect();
    assert_eq!(texts, ["a = crate::a", "C = crate::a::B", "* = crate::d"]);
    assert!(imports[0].is_re_export && !imports[1].is_re_export);
    assert_eq!(paths, [["super", "e", "f"]]);
}
