//! `docket roles`: which role may do what.
//!
//! Owns the picture; the table itself is `docket_command_api::permissions`.

use docket_command_api::permissions::{Action, TABLE, allows};
use docket_platform::auth::Role;

/// How to show it.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket roles
  docket roles --json | jq '.[] | select(.roles | index(\"analyst\")) | .action'

Whether a person may act on one consultation (nobody answers what they asked, named reviewers, the requester) is decided with that
consultation at hand. Every role reads everything of its organisation.")]
pub struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Shows it.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.json {
        let rows = TABLE.iter().map(
            |(action, roles)| serde_json::json!({ "action": action.as_str(), "what": action.what(), "roles": roles }),
        );
        println!("{}", serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?);
        return Ok(());
    }
    print!("{}", table());
    Ok(())
}

/// The table as Markdown, as docs/security.md has it.
fn table() -> String {
    let roles = Role::ALL.map(Role::as_str);
    let mut lines =
        vec![format!("| action | {} | what |", roles.join(" | ")), format!("|---|{}---|", "---|".repeat(roles.len()))];
    lines.extend(TABLE.iter().map(|(action, _)| line(*action)));
    lines.join("\n") + "\n"
}

fn line(action: Action) -> String {
    let marks = Role::ALL.map(|role| if allows(role, action) { "yes" } else { "" });
    format!("| {} | {} | {} |", action.as_str(), marks.join(" | "), action.what())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documentation_has_the_table_as_it_is() {
        let documented = include_str!("../../../docs/security.md");
        assert!(documented.contains(&super::table()), "docs/security.md lacks this table:\n{}", super::table());
    }
}
