//! A letter as HTML: one column, readable on a phone, in the dark too, with nothing that is fetched from anywhere.

use std::fmt::Write;

use super::{Page, Piece};

/// For programs that heed a style sheet; what others need stands at each element.
const STYLE: &str = "
:root { color-scheme: light dark; supported-color-schemes: light dark; }
@media (prefers-color-scheme: dark) {
  .back { background: #14171c !important; }
  .card { background: #1f242c !important; border-color: #39414d !important; }
  .ink, .ink td, .ink p { color: #eceff3 !important; }
  .pale { color: #a9b3c0 !important; }
  .link { color: #8ab8ff !important; }
}
";
const FONT: &str = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";

pub(super) fn write(page: &Page) -> String {
    let mut body = paragraph(&page.greeting);
    for pieces in &page.before {
        body.push_str(&paragraph(pieces));
    }
    body.push_str(&facts(&page.facts));
    body.push_str(&items(&page.items));
    if let Some(action) = &page.action {
        body.push_str(&button(action.label, &action.link));
    }
    for pieces in &page.after {
        body.push_str(&paragraph(pieces));
    }
    let footer = page.footer.iter().map(|pieces| inline(pieces)).collect::<Vec<_>>().join("<br>\n");
    let (subject, preview) = (escape(&super::one_line(&page.subject)), escape(page.preview));
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="format-detection" content="telephone=no, date=no, address=no, email=no, url=no">
<title>{subject}</title>
<style>{STYLE}</style>
</head>
<body class="back" style="margin:0;padding:0;background:#f2f4f7">
<div style="display:none;max-height:0;overflow:hidden">{preview}</div>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" class="back" style="background:#f2f4f7">
<tr><td align="center" style="padding:16px 8px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="max-width:560px">
<tr><td class="card ink" style="background:#ffffff;border:1px solid #d9dee5;border-radius:8px;padding:24px 20px;color:#1b2230;{FONT};font-size:16px;line-height:1.5;text-align:left;overflow-wrap:anywhere">
<h1 style="margin:0 0 16px;font-size:20px;line-height:1.3">{subject}</h1>
{body}</td></tr>
<tr><td class="pale" style="padding:12px 20px;color:#5b6675;{FONT};font-size:14px;line-height:1.5;text-align:left;overflow-wrap:anywhere">{footer}</td></tr>
</table>
</td></tr>
</table>
</body>
</html>
"#
    )
}

fn paragraph(pieces: &[Piece]) -> String {
    format!("<p style=\"margin:0 0 16px\">{}</p>\n", inline(pieces))
}

/// Names stand apart from the direction of the words around them.
fn inline(pieces: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Words(text) => escape(text),
        Piece::Name(text) => format!("<bdi>{}</bdi>", escape(text)),
        Piece::Link(label, link) => anchor(label, link),
    };
    pieces.iter().map(piece).collect()
}

fn facts(facts: &[(&'static str, String)]) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let mut table = String::from(
        "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" style=\"margin:0 0 16px\">\n",
    );
    for (label, value) in facts {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "<tr><td class=\"pale\" valign=\"top\" style=\"padding:2px 16px 2px 0;color:#5b6675\">{label}</td>\
             <td valign=\"top\" style=\"padding:2px 0\"><bdi>{}</bdi></td></tr>",
            escape(value)
        );
    }
    table.push_str("</table>\n");
    table
}

fn is_web(link: &str) -> bool {
    link.starts_with("https://") || link.starts_with("http://")
}

/// What is no web address is no link.
fn anchor(label: &str, link: &str) -> String {
    match is_web(link) {
        true => format!("<a class=\"link\" href=\"{}\" style=\"color:#1f5fd1\">{}</a>", escape(link), escape(label)),
        false => escape(label),
    }
}

fn items(items: &[super::Item]) -> String {
    let item = |item: &super::Item| {
        let open = anchor("Open", &item.link);
        format!("<p style=\"margin:0 0 12px\">{} · {open}</p>\n", inline(&item.line))
    };
    items.iter().map(item).collect()
}

/// The link as a button, and once more as it is: for whoever wants to see it first, or to copy it.
fn button(label: &str, link: &str) -> String {
    let shown = escape(link);
    if !is_web(link) {
        return format!("<p style=\"margin:0 0 16px\">{label}: {shown}</p>\n");
    }
    format!(
        "<p style=\"margin:24px 0\"><a href=\"{shown}\" style=\"display:inline-block;background:#1f5fd1;color:#ffffff;\
         text-decoration:none;font-weight:600;border-radius:6px;padding:12px 20px\">{label}</a></p>\n\
         <p class=\"pale\" style=\"margin:0 0 16px;font-size:14px;color:#5b6675\">Or copy this link:<br>\
         <a class=\"link\" href=\"{shown}\" style=\"color:#1f5fd1;word-break:break-all\">{shown}</a></p>\n"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}
