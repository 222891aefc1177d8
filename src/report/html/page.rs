//! The HTML page: inlines the charts' JSON, plotly.js, the script and the style sheet.

use std::fmt::Write;

use crate::model::{Scored, Value};
use crate::report::html::charts::{Chart, escape};
use crate::report::html::scores::{Scores, charts};
use crate::report::html::{Facts, timings, words};
use crate::report::model::axis::Scale;
use crate::report::model::timeline::STARTS;
use crate::report::text::field_columns::score_name;
use crate::report::text::means::{NOTE, mean_over_all};
use crate::report::text::words::{count, things};
use crate::report::{beginning, in_a_line, in_words, status};
use crate::util::error::Result;

/// Maximum number of table rows.
const ROWS: usize = 2000;

pub(crate) fn page(facts: &Facts) -> Result<String> {
    let name = escape(&facts.reader.name);
    let mut body =
        format!("<h1>{name}</h1>\n<p class=\"headline\">{}</p>\n", escape(&words::headline(facts)));
    let kept = facts.reader.results.kept()?.map(|kept| format!("{kept}."));
    body += &paragraph("warning", kept.as_slice());
    body += &table(facts)?;
    body += &scores(facts);
    body += &time(facts);
    body += &failures(facts);
    let from = facts.reader.note("gridmpi")?.unwrap_or_default();
    let crunch = facts.reader.note("crunch")?.unwrap_or_default();
    let _ = write!(
        body,
        "<footer>Crunch: <code>{}</code>. The store was made by gridmpi {}, this page by {}.</footer>",
        escape(&beginning(&crunch, 500)),
        escape(&from),
        env!("CARGO_PKG_VERSION")
    );
    Ok(format!(
        "{head}<title>{name}: report</title>
<style>{css}</style>
</head>
<body>
{body}
<noscript>The charts need JavaScript.</noscript>
<script>{plotly}</script>
<script>{js}</script>
</body>
</html>
",
        head = include_str!("head.html"),
        css = include_str!("page.css"),
        js = include_str!("page.js"),
        plotly = plotly_js(),
    ))
}

/// plotly.js alone: the crate also bundles MathJax, which would interpret a dollar sign in a name.
fn plotly_js() -> String {
    let sources = plotly::Plot::offline_js_sources();
    let script = sources.split("</script>").next().unwrap_or_default();
    script.split_once('>').map_or(String::new(), |(_, code)| code.to_string())
}

/// JSON escaped so that it cannot end a script element.
fn in_script(json: &serde_json::Value) -> String {
    json.to_string()
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn chart(chart: &Chart) -> String {
    let Chart { id, label, height, json } = chart;
    let choice = label.as_ref().map_or(String::new(), |label| {
        let label = escape(label);
        format!("<label class=\"choice\">{label} <select data-choice=\"{id}\" data-of=\"{label}\"></select></label>")
    });
    format!(
        "{choice}\n<div class=\"chart\" id=\"{id}\" style=\"height:{height}px\"></div>\n<p class=\"note\" data-note=\"{id}\"></p>\n<script type=\"application/json\" data-chart=\"{id}\">{}</script>\n",
        in_script(json)
    )
}

fn paragraph(class: &str, sentences: &[String]) -> String {
    match sentences {
        [] => String::new(),
        some => format!("<p class=\"{class}\">{}</p>\n", escape(&some.join(" "))),
    }
}

/// The result table: one row per point of the outermost loops.
fn table(facts: &Facts) -> Result<String> {
    let (nest, results) = (facts.reader.nest(), &facts.reader.results);
    let mut header = facts.rows.coordinate_names();
    header.extend(facts.rows.best_names().iter().map(|name| format!("best {name}")));
    header.extend([score_name(nest), "runs".to_string(), "status".to_string()]);
    let mut rows = String::new();
    let mut numeric = vec![false; header.len()];
    let (mut number, mut bad) = (0u64, 0u64);
    let mut over_all = None;
    results.scores(nest.outer(), |row| {
        number += 1;
        bad += u64::from(row.error.is_some());
        if number > ROWS as u64 {
            return Ok(());
        }
        let summary = row.summary();
        let mut cells: Vec<Value> = facts.rows.coordinates(summary.key);
        cells.extend(facts.rows.best(&summary));
        cells.push(match &summary.result {
            Ok(Scored { score: Some(score), .. }) => Value::Float(*score),
            Ok(_) => results.small_value(&row)?,
            Err(_) => Value::Null,
        });
        if over_all.is_none()
            && let Some(mean) = mean_over_all(results, &summary)?
        {
            let score = cells.last().map(in_words).unwrap_or_default();
            over_all = Some((number, score, in_words(&Value::Float(mean))));
        }
        let _ = write!(rows, "<tr class=\"{}\">", status(results, &summary));
        for (cell, numeric) in cells.iter().zip(&mut numeric) {
            let text = escape(&beginning(&in_words(cell), 200));
            let _ = match cell.as_f64() {
                Some(number) => {
                    *numeric = true;
                    write!(rows, "<td class=\"number\" data-value=\"{number}\">{text}</td>")
                }
                None => write!(rows, "<td>{text}</td>"),
            };
        }
        let total = summary.runs + summary.failed;
        let runs = format!("{} of {}", count(summary.runs), count(total));
        let _ = write!(rows, "<td class=\"number\" data-value=\"{}\">{runs}</td>", summary.runs);
        let status = match &summary.result {
            Ok(_) => status(results, &summary).to_string(),
            Err(error) => {
                format!("{}: {}", status(results, &summary), beginning(in_a_line(error), 300))
            }
        };
        let _ = writeln!(rows, "<td>{}</td></tr>", escape(&status));
        Ok(())
    })?;
    let expected = nest.keys(nest.outer());
    let mut notes = Vec::new();
    if number < expected {
        notes.push(format!("Not there yet: {}.", things(expected - number, "row")));
    }
    if number > ROWS as u64 {
        notes.push(format!(
            "The first {} of {} rows; all of them are in summary.csv. Of all rows, {} failed or incomplete.",
            count(ROWS as u64), count(number), count(bad)
        ));
    } else if bad > 0 {
        notes.push(format!("{} failed or incomplete.", things(bad, "row")));
    }
    if let Some((row, score, mean)) = over_all {
        notes.push(format!(
            "{NOTE} In row {row} it is {score}, and the mean over all runs is {mean}."
        ));
    }
    let last = numeric.len() - 2;
    numeric[last] = true; // the runs
    let heads = header.iter().zip(numeric).map(|(name, numeric)| {
        let class = if numeric { " class=\"number\"" } else { "" };
        format!("<th{class}><button>{}</button></th>", escape(name))
    });
    let header: String = heads.collect();
    Ok(format!(
        "<section id=\"summary\"><h2>Summary</h2>\n{}<div class=\"scroll\"><table class=\"sorted\"><thead><tr>{header}</tr></thead>\n<tbody>\n{rows}</tbody></table></div></section>\n",
        paragraph("note", &notes)
    ))
}

fn scores(facts: &Facts) -> String {
    let (loops, landscape) = (facts.reader.nest().loops(), &facts.landscape);
    let sets: Vec<&str> = landscape.plan.sets.iter().map(|i| loops[*i].name.as_str()).collect();
    let mut over: Vec<&str> = Vec::new();
    for axis in landscape.axes() {
        if !over.contains(&axis.name.as_str()) {
            over.push(&axis.name);
        }
    }
    let title = match over.as_slice() {
        [] => "Scores".to_string(),
        names => format!("The {} over {}", landscape.score, names.join(", ")),
    };
    let mut text = format!("<section id=\"score\"><h2>{}</h2>\n", escape(&title));
    let mut about = words::left_out(facts);
    let wins = landscape.panels().any(|panel| panel.best.is_some());
    if wins {
        let which = if landscape.high_is_best { "highest" } else { "lowest" };
        about.insert(0, format!("The best, marked, is the {which}."));
    }
    if landscape.axes().any(|axis| axis.scale == Scale::Log) {
        about.push(
            "Parameters spaced by ratio, or spread wide, have a logarithmic axis.".to_string(),
        );
    }
    let drawn: Vec<_> = landscape
        .families
        .iter()
        .enumerate()
        .map(|(number, family)| {
            let scores = Scores { landscape, family, number, set: sets.join(" x ") };
            (family, charts(&scores))
        })
        .collect();
    if drawn.iter().all(|(_, charts)| charts.is_empty()) && !drawn.is_empty() {
        return text
            + "<p class=\"words\">No point has a score that could be drawn.</p></section>\n";
    }
    text += &paragraph("note", &about);
    for (family, charts) in drawn {
        if !family.name.is_empty() {
            let _ = writeln!(text, "<h3>{}</h3>", escape(&family.name));
        }
        if charts.is_empty() {
            text += "<p class=\"words\">No point has a score that could be drawn.</p>\n";
        }
        for (drawn, notes) in charts {
            text += &chart(&drawn);
            text += &paragraph("note", &notes);
        }
    }
    text + "</section>\n"
}

fn time(facts: &Facts) -> String {
    let mut text = "<section id=\"time\"><h2>Who ran what when</h2>\n".to_string();
    let several = facts.sessions.len() > 1;
    if several {
        text += &paragraph(
            "words",
            &[format!(
                "The job was started {} times. Each start is measured by itself, over the runs that are still its own: what a later start did again counts there.",
                facts.sessions.len()
            )],
        );
    }
    for session in facts.sessions.iter().rev().take(STARTS) {
        let sentences = escape(&words::utilisation(facts, session).join(" "));
        let when = match session.attempts {
            0 => String::new(),
            _ => format!(" (<time data-seconds=\"{}\"></time>)", session.begin),
        };
        let which = if several {
            format!("<b>Start {}</b>{when}: ", session.number)
        } else {
            String::new()
        };
        let when = if several { String::new() } else { when };
        let _ = writeln!(text, "<p class=\"words\">{which}{sentences}{when}</p>");
    }
    if facts.sessions.len() > STARTS {
        text += &paragraph(
            "note",
            &[format!("{} earlier starts are left out.", facts.sessions.len() - STARTS)],
        );
    }
    if let Some((drawn, notes)) = timings::timeline(facts) {
        text += &chart(&drawn);
        text += &paragraph("note", &notes);
    }
    if let Some(durations) = &facts.durations {
        text += "<h2>How long runs took</h2>\n";
        text += &paragraph("words", &[words::durations(facts, durations)]);
        text += &chart(&timings::durations(durations));
    }
    text + "</section>\n"
}

fn failures(facts: &Facts) -> String {
    let kinds = facts.failures.kinds();
    let mut text = "<section id=\"failures\"><h2>Failures</h2>\n".to_string();
    if kinds.is_empty() {
        return text + "<p class=\"words\">No run has failed.</p></section>\n";
    }
    text += "<p class=\"note\">By message, whatever the numbers in it; every attempt counts.</p>\n<table><thead><tr><th class=\"number\">attempts</th><th class=\"number\">made good later</th><th>message</th><th>tasks</th></tr></thead>\n<tbody>\n";
    for kind in kinds {
        let tasks: Vec<String> = kind.tasks.iter().map(u64::to_string).collect();
        let more = if kind.attempts > kind.tasks.len() as u64 { ", ..." } else { "" };
        let first = kind.tasks.first().map_or(String::new(), |task| facts.task(*task));
        let _ = writeln!(
            text,
            "<tr><td class=\"number\">{}</td><td class=\"number\">{}</td><td><details><summary>{}</summary><p>Task {} ({}):</p><pre>{}</pre></details></td><td>{}{more}</td></tr>",
            count(kind.attempts),
            count(kind.mended),
            escape(&kind.message),
            tasks.first().map_or("", String::as_str),
            escape(&first),
            escape(&kind.example),
            tasks.join(", ")
        );
    }
    text += "</tbody></table>\n";
    if facts.failures.others > 0 {
        let others =
            format!("{} failures of other kinds are in runs.sqlite.", count(facts.failures.others));
        text += &paragraph("note", &[others]);
    }
    text + "</section>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_brings_plotly_alone() {
        let code = plotly_js();
        assert!(code.contains("plotly.js v3") && !code.contains("MathJax.js"));
        assert!(code.len() > 1 << 20 && code.len() < 6 << 20);
        assert!(!code.contains("</script") && !code.contains("<script "));
    }

    #[test]
    fn no_json_ends_its_script() {
        let json = serde_json::json!(["</script><!--<script>", "\u{2028}\u{2029}"]);
        let text = in_script(&json);
        assert!(!text.contains(['<', '\u{2028}', '\u{2029}']), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), json);
    }
}
