//! What was found in a text, as HTML. Owns that nothing of the text itself is HTML in it: only the marks are.

/// Before what was found, and behind it, as the database gives it. No text holds these characters.
const MARKS: [char; 2] = ['\u{1}', '\u{2}'];

/// The text with everything escaped that HTML knows, and `<mark>` … `</mark>` around what was found.
pub(super) fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 32);
    let mut open = false;
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            mark if mark == MARKS[0] && !open => {
                html.push_str("<mark>");
                open = true;
            }
            mark if mark == MARKS[1] && open => {
                html.push_str("</mark>");
                open = false;
            }
            mark if MARKS.contains(&mark) => {}
            other => html.push(other),
        }
    }
    if open {
        html.push_str("</mark>");
    }
    html
}

#[cfg(test)]
mod tests {
    use super::html;

    #[test]
    fn only_marks_are_html_and_every_mark_is_closed() {
        for (text, expected) in [
            ("a \u{1}cat\u{2} & <b>\"it's\"", "a <mark>cat</mark> &amp; &lt;b&gt;&quot;it&#39;s&quot;"),
            ("<mark>x</mark> \u{1}<i>\u{2}", "&lt;mark&gt;x&lt;/mark&gt; <mark>&lt;i&gt;</mark>"),
            ("\u{2}a \u{1}b \u{1}c", "a <mark>b c</mark>"),
            ("", ""),
        ] {
            assert_eq!(html(text), expected);
        }
    }
}
