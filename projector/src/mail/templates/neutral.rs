//! Texts of others, made harmless.

/// The most that is shown, in characters.
const LONGEST: usize = 200;

/// `text` as one line that looks like what it is: what breaks lines or controls a terminal becomes a space; what is invisible or turns the
/// direction of writing is left out; blanks are one space each; what is too long is cut. Fit for a header.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut count = 0;
    for character in text.chars().filter(|character| !is_deceptive(*character)) {
        let blank = character.is_whitespace() || character.is_control();
        if blank && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        if count == LONGEST {
            line.push('…');
            break;
        }
        line.push(if blank { ' ' } else { character });
        count += 1;
    }
    line.truncate(line.trim_end().len());
    line
}

/// A name as one line that no mail program takes for a link: an invitation is mailed to strangers, and whoever sends it chose its names.
/// A blank parts the scheme and the labels of what looks like a host.
pub(super) fn name(text: &str) -> String {
    let line = one_line(text).replace("://", ": //");
    let mut harmless = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let within = !harmless.is_empty() && !harmless.ends_with(' ');
        harmless.push(character);
        if character == '.' && within && characters.peek().is_some_and(|next| next.is_alphabetic()) {
            harmless.push(' ');
        }
    }
    harmless
}

/// Invisible characters, fillers, tags, and those that turn the direction of writing.
const fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stays_one_and_looks_like_what_it_is() {
        assert_eq!(one_line("Hello\r\nBcc: all@example.com"), "Hello Bcc: all@example.com");
        assert_eq!(one_line("a\u{2028}b\u{0085}c\u{0}d\u{1b}[31m"), "a b c d [31m");
        assert_eq!(one_line("\u{202E}gnp.exe\u{200B}\u{2066}\u{FEFF}\u{E0041}"), "gnp.exe");
        assert_eq!(one_line("  Åsa \t Ωmega  "), "Åsa Ωmega");
        assert_eq!(one_line("שלום 你好 🎉"), "שלום 你好 🎉");
        assert_eq!(one_line(&"x".repeat(5000)).chars().count(), LONGEST + 1);
        assert_eq!(one_line("\u{200B}\n"), "");
    }

    #[test]
    fn a_name_is_no_link() {
        assert_eq!(name("https://evil.example/pay"), "https: //evil. example/pay");
        assert_eq!(name("go to WWW.evil.example now"), "go to WWW. evil. example now");
        assert_eq!(
            name("Åsa B. Lind, 192.0.2.7, Firefox/140.0, 2001:db8::7"),
            "Åsa B. Lind, 192.0.2.7, Firefox/140.0, 2001:db8::7"
        );
    }
}
