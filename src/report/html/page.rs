//! The HTML page: inlines the charts' JSON, plotly.js, the script and the style sheet.

use std::fmt::Write;

use crate::report::html::charts::Chart;
use crate::report::html::markup::{escape, paragraph, wrapping};
use crate::report::html::origin::origin;
use crate::report::html::scores::{Scores, charts};
use crate::report::html::table::table;
use crate::report::html::{Facts, timings, words};
use crate::report::model::axis::Scale;
use crate::report::model::timeline::STARTS;
use crate::report::text::words::count;
use crate::util::error::Result;

pub(crate) fn page(facts: &Facts) -> Result<String> {
    let name = escape(&facts.reader.name);
    let mut body = format!(
        "<h1>{}</h1>\n<p class=\"headline\">{}</p>\n",
        wrapping(&facts.reader.name),
        escape(&words::headline(facts))
    );
    let kept = facts.reader.results.kept()?.map(|kept| format!("{kept}."));
    body += &paragraph("warning", kept.as_slice());
    body += &table(facts)?;
    body += &scores(facts);
    body += &time(facts);
    body += &failures(facts);
    body += &origin(facts)?;
    Ok(format!(
        "{head}<title>{name}: report</title>
<style>{css}</style>
</head>
<body>
{body}
<noscript>The charts need JavaScript.</noscript>
<script>{plotly}</script>
<script>{js}</script>
<script>{table_js}</script>
</body>
</html>
",
        head = include_str!("head.html"),
        css = include_str!("page.css"),
        js = include_str!("page.js"),
        table_js = include_str!("table.js"),
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
    let Chart { id, label, height, json, .. } = chart;
    let room = chart.least_width.map_or(String::new(), |width| format!(";min-width:{width}px"));
    let choice = label.as_ref().map_or(String::new(), |label| {
        let label = escape(label);
        format!("<label class=\"choice\">{label} <select data-choice=\"{id}\" data-of=\"{label}\"></select></label>")
    });
    format!(
        "{choice}\n<div class=\"wide\"><div class=\"chart\" id=\"{id}\" style=\"height:{height}px{room}\"></div></div>\n<p class=\"note\" data-note=\"{id}\"></p>\n<script type=\"application/json\" data-chart=\"{id}\">{}</script>\n",
        in_script(json)
    )
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
    let mut text = format!("<section id=\"score\"><h2>{}</h2>\n", wrapping(&title));
    let mut about = words::left_out(facts);
    let wins = landscape.panels().any(|panel| panel.best.is_some());
    if wins {
        let which = if landscape.high_is_best { "highest" } else { "lowest" };
        about.insert(
            0,
            match landscape.has_tolerance {
                true => {
                    format!("The point that was chosen, marked, is about as good as the {which}.")
                }
                false => format!("The best, marked, is the {which}."),
            },
        );
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
            let _ = writeln!(text, "<h3>{}</h3>", wrapping(&family.name));
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
    text += "<p class=\"note\">By message, whatever the numbers in it; every attempt counts.</p>\n<div class=\"scroll\"><table><thead><tr><th class=\"number\">attempts</th><th class=\"number\">made good later</th><th>message</th><th>tasks</th></tr></thead>\n<tbody>\n";
    for kind in kinds {
        let tasks: Vec<String> = kind.tasks.iter().map(u64::to_string).collect();
        let more = if kind.attempts > kind.tasks.len() as u64 { ", ..." } else { "" };
        let first = kind.tasks.first().map_or(String::new(), |task| facts.task(*task));
        let _ = writeln!(
            text,
            "<tr><td class=\"number\">{}</td><td class=\"number\">{}</td><td><details><summary>{}</summary><p>Task {} ({}):</p><pre>{}</pre></details></td><td>{}{more}</td></tr>",
            count(kind.attempts),
            count(kind.mended),
            wrapping(&kind.message),
            tasks.first().map_or("", String::as_str),
            escape(&first),
            escape(&kind.example),
            tasks.join(", ")
        );
    }
    text += "</tbody></table></div>\n";
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
