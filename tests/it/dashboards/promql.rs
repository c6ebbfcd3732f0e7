//! A parser of `PromQL` that finds the metrics that a query names.

/// A metric and its label matchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) name: String,
    /// As in the query, without a range.
    pub(super) text: String,
}

/// Keywords before lists of labels.
const OF_LABELS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// Other keywords that are not metrics. Functions are recognized by the bracket that follows.
const KEYWORDS: [&str; 10] = [
    "and", "or", "unless", "offset", "bool", "sum", "max", "min", "count", "avg",
];

/// The query with Grafana's variables replaced: all instances, all kinds, this scrape interval.
pub(super) fn replaced(expr: &str, scrape: u64) -> String {
    let expr = expr.replace("$__rate_interval", &format!("{}s", 4 * scrape));
    let expr = expr.replace("\"$instance\"", "\".*\"");
    let expr = expr.replace("\"$kind\"", "\".*\"");
    assert!(
        !expr.contains('$'),
        "a variable that is not known here: {expr}"
    );
    expr
}

/// All metrics that the query names.
pub(super) fn selectors(expr: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expr.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '{' | '[' => closed(rest),
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = word(rest);
                let after = rest[word.len()..].trim_start();
                if OF_LABELS.contains(&word) {
                    rest.len() - after.len() + closed(after)
                } else if after.starts_with('(') || KEYWORDS.contains(&word) {
                    word.len()
                } else {
                    let labels = if after.starts_with('{') {
                        closed(after)
                    } else {
                        0
                    };
                    found.push(Selector {
                        name: word.to_owned(),
                        text: format!("{word}{}", &after[..labels]),
                    });
                    rest.len() - after.len() + labels
                }
            }
            '0'..='9' => word(rest).len(),
            other => other.len_utf8(),
        };
        rest = rest[length..].trim_start();
    }
    found
}

/// The word at the beginning.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
    &text[..end.unwrap_or(text.len())]
}

/// The length of the bracketed text at the beginning, with strings skipped.
fn closed(text: &str) -> usize {
    let close = match text.chars().next() {
        Some('"') => '"',
        Some('{') => '}',
        Some('[') => ']',
        Some('(') => ')',
        _ => return 0,
    };
    let mut quoted = close == '"';
    for (at, c) in text.char_indices().skip(1) {
        if c == close && (close == '"' || !quoted) {
            return at + 1;
        }
        if c == '"' {
            quoted = !quoted;
        }
    }
    panic!("not closed: {text}");
}

#[test]
fn the_metrics_that_a_query_names_are_found() {
    let names = |expr| {
        let selectors = selectors(expr).into_iter();
        selectors.map(|selector| selector.text).collect::<Vec<_>>()
    };
    assert_eq!(
        names(r#"histogram_quantile(0.95, sum by (le, kind) (rate(a_bucket{x="}[("}[5m]))) > 1e3"#),
        [r#"a_bucket{x="}[("}"#]
    );
    assert_eq!(
        names("max(a / on (instance) b) unless c offset 5m or vector(0)"),
        ["a", "b", "c"]
    );
    assert_eq!(names(r#"absent(up{job="x"} == 1)"#), [r#"up{job="x"}"#]);
}
