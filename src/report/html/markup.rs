//! Text as HTML: escaped, and with the places at which a name may wrap.

/// Escapes a string for HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    text.chars().for_each(|c| push_escaped(&mut escaped, c));
    escaped
}

fn push_escaped(escaped: &mut String, c: char) {
    match c {
        '&' => escaped.push_str("&amp;"),
        '<' => escaped.push_str("&lt;"),
        '>' => escaped.push_str("&gt;"),
        '"' => escaped.push_str("&quot;"),
        '\'' => escaped.push_str("&#39;"),
        '\n' | '\t' => escaped.push(c),
        // Browsers do not display other control characters usefully.
        c if c.is_control() => escaped.push('\u{fffd}'),
        c => escaped.push(c),
    }
}

/// Escapes a name, which may wrap after each of `/ _ - .`, but not within a number: after `.` and `-` only
/// where no digit follows.
pub(crate) fn wrapping(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    let mut is_first = true;
    while let Some(c) = chars.next() {
        push_escaped(&mut text, c);
        let Some(next) = chars.peek() else { break };
        let may_wrap = match c {
            '/' | '_' => !"/_-.".contains(*next),
            '-' | '.' => !"/_-.".contains(*next) && !next.is_ascii_digit(),
            _ => false,
        };
        if may_wrap && !is_first && !next.is_whitespace() {
            text.push_str("<wbr>");
        }
        is_first = c.is_whitespace();
    }
    text
}

pub(crate) fn paragraph(class: &str, sentences: &[String]) -> String {
    match sentences {
        [] => String::new(),
        some => format!("<p class=\"{class}\">{}</p>\n", wrapping(&some.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let hostile = "</script><img src=x onerror='a'>\u{2028}\u{0}&\"";
        let escaped = escape(hostile);
        assert!(!escaped.contains(['<', '>', '\'', '"', '\u{0}']), "{escaped}");
        let wrapping = wrapping(hostile).replace("<wbr>", "");
        assert_eq!(wrapping, escaped);
    }

    #[test]
    fn names_wrap_after_separators_and_numbers_do_not() {
        let shown = |name: &str| wrapping(name).replace("<wbr>", "|");
        assert_eq!(shown("data/breast_cancer.csv"), "data/|breast_|cancer.|csv");
        assert_eq!(shown("../a__b/sub-01/v1.2-rc"), "../|a__|b/|sub-01/|v1.2-|rc");
        assert_eq!(shown("-3 1e-05 0.25 x."), "-3 1e-05 0.25 x.");
        assert_eq!(shown("a<b>/é"), "a&lt;b&gt;/|é");
        assert_eq!(shown("in /a/b. And"), "in /a/|b. And");
    }
}
