//! Cleans strings from senders and models before they become items: removes control characters and
//! invisible characters, and shortens them.

/// False for characters that are invisible and yet have an effect: control characters (Postgres
/// does not accept NUL), characters that change the text direction, and characters that hide text
/// from people but not from programs.
fn shows(c: char) -> bool {
    !(c.is_control()
        || matches!(c,
            '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' // of no width
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' // direction
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')) // annotations, tags
}

/// One line of at most `max` characters.
pub(super) fn line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(|c: char| c.is_whitespace() || c == '\0') {
        let mut shown = word.chars().filter(|c| shows(*c)).peekable();
        if shown.peek().is_none() {
            continue;
        }
        if length > 0 && length < max {
            line.push(' ');
            length += 1;
        }
        for c in shown.take(max - length) {
            line.push(c);
            length += 1;
        }
        if length == max {
            break;
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Text of at most `max` characters that keeps its lines, with one blank line at most between them.
pub(super) fn text(text: &str, max: usize) -> String {
    let mut clean = String::new();
    let mut left = max;
    let mut blank = false;
    for part in text.split([
        '\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}',
    ]) {
        if left == 0 {
            break;
        }
        let part = line(part, left);
        if part.is_empty() {
            blank = !clean.is_empty();
            continue;
        }
        let breaks = match (clean.is_empty(), blank) {
            (true, _) => "",
            (false, false) => "\n",
            (false, true) => "\n\n",
        };
        if breaks.len() >= left {
            break;
        }
        left -= breaks.len();
        clean.push_str(breaks);
        let part: String = part.chars().take(left).collect();
        left -= part.chars().count();
        clean.push_str(&part);
        blank = false;
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// The text without markup. A page that shows an item must escape it all the same. But a model that
/// is asked for names and notes has no reason to answer with tags.
pub(super) fn without_markup(text: &str) -> String {
    let once = without_tags(text);
    let twice = without_tags(&once);
    if twice == once {
        return once;
    }
    // Removing a tag left another tag, as in `<<b>script>`. That is an attack, and it could be
    // nested to any depth.
    twice.replace('<', "")
}

fn without_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('<') {
        plain.push_str(before);
        if from.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)) {
            // A tag that does not end includes all that follows, as in a browser.
            rest = from.split_once('>').map_or("", |(_, after)| after);
        } else {
            plain.push('<'); // such as `<3`
            rest = from;
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_one_line_of_visible_characters() {
        for (given, expected) in [
            ("  Ana\t\n Bell\r\n", "Ana Bell"),
            ("A\0na\u{7} \u{202e}lleB\u{200b}", "A na lleB"),
            ("\u{1F468}\u{200d}\u{1F469}", "\u{1F468}\u{200d}\u{1F469}"),
            ("\u{feff}\u{e0041}\u{e0042}", ""),
        ] {
            assert_eq!(line(given, 50), expected, "{given:?}");
        }
        assert_eq!(line("Ana Bell", 5), "Ana B");
        assert_eq!(line("Ana Bell", 4), "Ana");
    }

    #[test]
    fn a_text_keeps_its_lines() {
        assert_eq!(
            text("\n\nOne \r\ntwo\n\n\n\nthree\n", 50),
            "One\n\ntwo\n\nthree"
        );
        assert_eq!(text("One\u{2028}two\0", 50), "One\ntwo");
        assert_eq!(text("One\ntwo", 5), "One\nt");
    }

    #[test]
    fn markup_is_removed_and_text_that_only_looks_like_markup_stays() {
        for (given, expected) in [
            ("I <3 you, 1 < 2 > 0", "I <3 you, 1 < 2 > 0"),
            ("<b>Ana</b> Bell<br/>", "Ana Bell"),
            ("Ana<script>alert(1)</script>", "Anaalert(1)"),
            ("Ana <img src=x onerror=alert(1)", "Ana "),
            ("<<b>script>x<</b>/script>", "x"),
        ] {
            assert_eq!(without_markup(given), expected, "{given:?}");
        }
    }

    fn is_markup(text: &str) -> bool {
        let follows = |next: char| next.is_ascii_alphabetic() || "/!?".contains(next);
        text.split('<')
            .skip(1)
            .any(|after| after.starts_with(follows))
    }

    #[test]
    fn deeply_nested_tags_are_removed_in_bounded_time() {
        let deep = format!("{}{}", "<".repeat(300_000), "b>".repeat(300_000));
        assert!(!is_markup(&without_markup(&deep)));
    }

    proptest! {
        #[test]
        fn any_text_becomes_clean_and_bounded(given in "(\\PC|[\0-\u{20}<>a-c/!]|\u{202e}){0,80}", max in 0_usize..40) {
            for clean in [line(&given, max), text(&given, max)] {
                prop_assert!(clean.chars().count() <= max);
                prop_assert!(clean.chars().all(|c| shows(c) || c == '\n'));
                prop_assert_eq!(clean.trim(), &clean);
            }
            prop_assert!(!line(&given, max).contains('\n'));
            let plain = without_markup(&given);
            prop_assert_eq!(&without_markup(&plain), &plain);
            prop_assert!(!is_markup(&plain));
        }
    }
}
