//! Where the results come from: the job file, the command, the seed, versions, hosts and starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::report::beginning;
use crate::report::html::Facts;
use crate::report::html::markup::{escape, paragraph, wrapping};
use crate::report::text::words::{count, things};
use crate::store::InvocationRow;
use crate::util::error::Result;
use crate::util::text::shell_word;

/// Limits: starts and hosts that are listed, and the length of a command and of a job file. (characters)
const STARTS: usize = 100;
const HOSTS: usize = 50;
const COMMAND: usize = 4000;
const JOB_FILE: usize = 100_000;

pub(crate) fn origin(facts: &Facts) -> Result<String> {
    let reader = facts.reader;
    let note = |key: &str| Ok(reader.note(key)?.unwrap_or_default());
    let (members, invocations) = (reader.members()?, reader.invocations()?);
    let mut list = String::new();
    let mut item = |name: &str, html: &str| {
        let _ = writeln!(list, "<dt>{name}</dt><dd>{html}</dd>");
    };
    if let Some(last) = invocations.last() {
        let line = format!("cd {}\n{}", shell_word(&last.invocation.folder), command(last));
        item("Command", &format!("<pre>{}</pre>", escape(&beginning(&line, COMMAND))));
    }
    let (path, text) = (note("path")?, note("file")?);
    if !path.is_empty() {
        let what = if reader.results.is_native() { "Program" } else { "Job file" };
        let text = match text.is_empty() {
            true => String::new(),
            false => format!(
                "<details><summary>its text</summary><pre>{}</pre></details>",
                escape(&beginning(&text, JOB_FILE))
            ),
        };
        item(what, &format!("<code>{}</code>{text}", wrapping(&path)));
    }
    item("Crunch", &format!("<code>{}</code>", wrapping(&beginning(&note("crunch")?, 500))));
    item("Seed", &escape(&note("seed")?));
    let mut versions = vec![format!(
        "the store was made by gridmpi {}, this page by {}",
        note("gridmpi")?,
        env!("CARGO_PKG_VERSION")
    )];
    versions.extend(invocations.iter().rev().take(1).flat_map(|last| &last.versions).map(
        |(what, value)| format!("{} {value}", what.strip_prefix("the version of ").unwrap_or(what)),
    ));
    item("Versions", &wrapping(&beginning(&versions.join(", "), COMMAND)));
    // A host has as many workers as in the start that had most of them there.
    let mut by_start: BTreeMap<(&str, i64), u64> = BTreeMap::new();
    for member in &members {
        *by_start.entry((&member.host, member.session)).or_default() += 1;
    }
    let mut hosts: BTreeMap<&str, u64> = BTreeMap::new();
    for ((host, _), workers) in by_start {
        let most = hosts.entry(host).or_default();
        *most = workers.max(*most);
    }
    let names = hosts.iter().take(HOSTS).map(|(host, workers)| {
        let host = if host.is_empty() { "(not recorded)" } else { host };
        format!("{} ({})", wrapping(host), things(*workers, "worker"))
    });
    let mut names = names.collect::<Vec<_>>().join(", ");
    if hosts.len() > HOSTS {
        let _ = write!(names, " and {} more", count((hosts.len() - HOSTS) as u64));
    }
    item("Hosts", &names);
    let starts = starts(facts, &invocations, &members.iter().map(|m| m.session).collect());
    Ok(format!(
        "<section id=\"origin\"><h2>How this was made</h2>\n<dl>\n{list}</dl>\n{starts}</section>\n"
    ))
}

/// A row for each start.
fn starts(facts: &Facts, invocations: &[InvocationRow], with_workers: &BTreeSet<i64>) -> String {
    let called: BTreeMap<i64, &InvocationRow> =
        invocations.iter().map(|row| (row.session, row)).collect();
    let all: BTreeSet<i64> = called.keys().chain(with_workers).copied().collect();
    let mut text = String::new();
    for number in all.iter().rev().take(STARTS).rev() {
        let (own, timeline) =
            (called.get(number), facts.sessions.iter().find(|start| start.number == *number));
        let began = own.map(|row| row.began).or(timeline.map(|start| start.begin));
        let began = began.filter(|began| *began > 0.0);
        let began =
            began.map_or(String::new(), |at| format!("<time data-seconds=\"{at}\"></time>"));
        let (workers, runs) = timeline.map_or((0, 0), |start| (start.lanes.len(), start.attempts));
        let _ = writeln!(
            text,
            "<tr><td class=\"number\">{number}</td><td>{began}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td><td><code>{}</code></td></tr>",
            count(workers as u64),
            count(runs as u64),
            own.map_or(String::new(), |row| escape(&row.gridmpi)),
            own.map_or(String::new(), |row| wrapping(&beginning(&command(row), COMMAND / 8)))
        );
    }
    let note = match all.len() > STARTS {
        true => paragraph(
            "note",
            &[format!("The last {STARTS} of {} starts.", count(all.len() as u64))],
        ),
        false => String::new(),
    };
    format!(
        "{note}<div class=\"scroll\"><table><thead><tr><th class=\"number\">start</th><th>began</th><th class=\"number\">workers</th><th class=\"number\">runs</th><th>gridmpi</th><th>command</th></tr></thead>\n<tbody>\n{text}</tbody></table></div>\n"
    )
}

fn command(row: &InvocationRow) -> String {
    row.invocation.words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}
