//! `docket roles`: which role, and which scope of an API key, may do what.
//!
//! Owns the picture; the table itself is `docket_platform::auth::permissions`.

use docket_platform::auth::{
    Role,
    permissions::{Rule, TABLE},
};

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
        let rows = TABLE.iter().map(|rule| {
            let Rule { name, roles, scope, what, .. } = rule;
            serde_json::json!({ "action": name, "what": what, "roles": roles, "scope": scope })
        });
        println!("{}", serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?);
        return Ok(());
    }
    print!("{}", table());
    Ok(())
}

/// The table as Markdown, as docs/security.md has it.
fn table() -> String {
    let roles = Role::ALL.map(Role::as_str);
    let head = format!("| action | {} | scope of a key | what |", roles.join(" | "));
    let mut lines = vec![head, format!("|---|{}---|---|", "---|".repeat(roles.len()))];
    lines.extend(TABLE.iter().map(line));
    lines.join("\n") + "\n"
}

fn line(rule: &Rule) -> String {
    let marks = Role::ALL.map(|role| if rule.roles.contains(&role) { "yes" } else { "" });
    let scope = rule.scope.map(|scope| format!("`{}`", scope.as_str())).unwrap_or_default();
    format!("| {} | {} | {scope} | {} |", rule.name, marks.join(" | "), rule.what)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documentation_has_the_table_as_it_is() {
        let documented = include_str!("../../../docs/security.md");
        assert!(documented.contains(&super::table()), "docs/security.md lacks this table:\n{}", super::table());
    }
}
