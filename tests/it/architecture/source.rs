//! Rust source as tokens, without comments, string contents and test code.

/// The token of every string literal.
const TEXT: &str = "\"\"";

/// The attribute in front of test code.
const TEST_ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

/// The part of a file that is not test code.
#[derive(Debug, Default)]
pub(super) struct ProductSource {
    /// Identifiers, numbers and signs in their order; `::` is one token.
    pub(super) tokens: Vec<String>,
    /// Modules in files of their own that exist only in tests.
    pub(super) test_modules: Vec<String>,
}

impl ProductSource {
    pub(super) fn parse(source: &str) -> Self {
        let mut product = Self::default();
        let tokens = tokens(source);
        let mut at = 0;
        while at < tokens.len() {
            let is_test = tokens[at..]
                .iter()
                .map(String::as_str)
                .take(TEST_ATTRIBUTE.len())
                .eq(TEST_ATTRIBUTE);
            if is_test {
                let start = at + TEST_ATTRIBUTE.len();
                at = end_of_item(&tokens, start);
                let mut parts = tokens[start..at].windows(3);
                if let Some([_, name, _]) = parts.find(|part| part[0] == "mod" && part[2] == ";") {
                    product.test_modules.push(name.clone());
                }
            } else {
                product.tokens.push(tokens[at].clone());
                at += 1;
            }
        }
        product
    }
}

/// The index after the item that begins at `start`: after its `;` or after its closing brace.
fn end_of_item(tokens: &[String], start: usize) -> usize {
    let is_use = tokens[start..].iter().take(6).any(|token| token == "use");
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 && token == "}" && !is_use {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let char_at = |at: usize| chars.get(at).copied().unwrap_or('\n');
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c == '/' && char_at(at + 1) == '/' {
            while char_at(at) != '\n' {
                at += 1;
            }
        } else if c == '/' && char_at(at + 1) == '*' {
            at += 2;
            while at < chars.len() && !(chars[at] == '*' && char_at(at + 1) == '/') {
                at += 1;
            }
            at += 2;
        } else if c == '"' {
            at = end_of_string(&chars, at);
            tokens.push(TEXT.to_owned());
        } else if let Some(end) = end_of_raw_string(&chars, at) {
            at = end;
            tokens.push(TEXT.to_owned());
        } else if c == '\'' && char_at(at + 1) == '\\' {
            at += 3;
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            at += 1;
        } else if c == '\'' && char_at(at + 2) == '\'' {
            at += 3;
        } else if is_word(c) {
            let start = at;
            while at < chars.len() && is_word(chars[at]) {
                at += 1;
            }
            tokens.push(chars[start..at].iter().collect());
        } else if c == ':' && char_at(at + 1) == ':' {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            at += 1;
        }
    }
    tokens
}

/// The index after the string literal that begins at `start`.
fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The index after the raw string literal that begins at `start`, such as `r"…"` or `br#"…"#`.
/// `None` if no raw string begins there.
fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let before = start.checked_sub(1).and_then(|at| chars.get(at));
    if before.is_some_and(|c| c.is_alphanumeric() || *c == '_') {
        return None;
    }
    let mut at = start;
    if chars.get(at) == Some(&'b') {
        at += 1;
    }
    if chars.get(at) != Some(&'r') {
        return None;
    }
    at += 1;
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    at += hashes;
    if chars.get(at) != Some(&'"') {
        return None;
    }
    let mut end = vec!['"'];
    end.extend(std::iter::repeat_n('#', hashes));
    at += 1;
    while at < chars.len() && !chars[at..].starts_with(&end) {
        at += 1;
    }
    Some(at + end.len())
}

#[test]
fn comments_strings_and_test_code_are_left_out() {
    let source = r##"
        use a::b; // use c::d;
        /* use e::f; */
        const T: &str = r#"use "g"::h;"#;
        fn x<'a>(c: &'a char) -> bool { *c == '"' || *c == '\'' }
        #[cfg(test)]
        mod tests { use i::j; fn y() {} }
        #[cfg(test)]
        mod cases;
        #[cfg(test)]
        use k::{l, m};
        fn z() { n::o() }
    "##;
    let product = ProductSource::parse(source);
    let words: Vec<_> = product.tokens.iter().map(String::as_str).collect();
    for word in ["a", "x", "z", "n", "o"] {
        assert!(words.contains(&word), "{word} in {words:?}");
    }
    for word in ["d", "f", "g", "h", "j", "y", "k", "l"] {
        assert!(!words.contains(&word), "{word} in {words:?}");
    }
    assert_eq!(product.test_modules, ["cases"]);
}
