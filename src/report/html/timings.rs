//! Charts of timelines and durations.

use serde_json::{Value as Json, json};

use crate::report::html::Facts;
use crate::report::html::charts::{
    COLOURS, Chart, FAILED, label, layout, number, numbers, plain, with,
};
use crate::report::html::markup::escape;
use crate::report::model::durations::DurationStats;
use crate::report::model::timeline::{COLUMNS, DRAWN, ROWS, STARTS, StartTimeline};
use crate::report::text::words::{count, seconds};

/// The timelines of the starts, latest first, with notes.
pub(crate) fn timeline(facts: &Facts) -> Option<(Chart, Vec<String>)> {
    let shown: Vec<&StartTimeline> =
        facts.sessions.iter().rev().filter(|s| s.attempts > 0).collect();
    let mut notes = Vec::new();
    if shown.len() > STARTS {
        notes.push(format!("The latest {STARTS} of {} starts can be chosen.", shown.len()));
    }
    let mut height = 0;
    let mut choices = Vec::new();
    for session in shown.iter().take(STARTS) {
        let bars = session.attempts <= DRAWN && session.lanes.len() <= ROWS;
        let (figure, own, note) = if bars { bars_of(facts, session) } else { bins_of(session) };
        height = height.max(own);
        choices.push(
            json!({ "name": format!("start {}", session.number), "figure": figure, "note": note }),
        );
    }
    let label = (choices.len() > 1).then(|| "start".to_string());
    let json = json!({ "choices": choices });
    (!shown.is_empty()).then(|| {
        (Chart { id: "timeline".to_string(), label, height, least_width: None, json }, notes)
    })
}

fn shape(rows: usize) -> (Json, usize) {
    let height = (rows * 26 + 110).clamp(180, 900);
    let shape = with(
        layout(height),
        json!({
            "xaxis": plain("seconds since the first run began"), "barmode": "overlay", "bargap": 0.15,
            "yaxis": with(plain(""), json!({ "type": "category", "autorange": "reversed" })),
            "hovermode": "closest",
        }),
    );
    (shape, height)
}

/// Attempts as bars, coloured by the outermost loop if that is informative.
fn bars_of(facts: &Facts, session: &StartTimeline) -> (Json, usize, String) {
    let nest = facts.reader.nest();
    let outermost = &nest.loops()[0];
    let coloured = nest.depth() > 1;
    let points = outermost.points.len();
    let named = coloured && points <= COLOURS.len() as u64;
    let groups = if coloured { points.min(COLOURS.len() as u64) as usize } else { 1 };
    let name = |group: usize| match named {
        true => label(&crate::report::called(&outermost.shown(group as u64))),
        false => "runs".to_string(),
    };
    let trace = |name: &str, colour: &str| {
        json!({
            "type": "bar", "orientation": "h", "name": name, "base": [], "x": [], "y": [],
            "hovertext": [], "hovertemplate": "%{hovertext}<extra></extra>",
            "marker": { "color": colour, "line": { "color": "#fff", "width": [] } }, "showlegend": named,
        })
    };
    let mut traces: Vec<Json> = (0..groups).map(|i| trace(&name(i), COLOURS[i])).collect();
    traces.push(with(trace("failed", FAILED), json!({ "showlegend": true })));
    let push = |values: &mut Json, value: Json| {
        if let Json::Array(values) = values {
            values.push(value);
        }
    };
    for lane in &session.lanes {
        for attempt in &lane.attempts {
            let group = match coloured && attempt.task < nest.tasks() {
                true => nest.point(nest.ancestor(nest.task(attempt.task), 1)) as usize % groups,
                false => 0,
            };
            let trace = &mut traces[if attempt.failed { groups } else { group }];
            push(&mut trace["base"], number(attempt.started - session.begin));
            push(&mut trace["x"], number(attempt.seconds));
            push(&mut trace["y"], json!(label(&lane.name)));
            // A thin bar has no room for an outline.
            let rim = if attempt.seconds > session.wall() / 300.0 { 0.6 } else { 0.0 };
            push(&mut trace["marker"]["line"]["width"], json!(rim));
            let coordinates: String = crate::report::beginning(&facts.task(attempt.task), 200);
            let failed = if attempt.failed { ", failed" } else { "" };
            let text = format!(
                "<b>task {}</b>{failed}<br>{}<br>{} on {}",
                attempt.task,
                escape(&coordinates),
                seconds(attempt.seconds),
                label(&lane.name)
            );
            push(&mut trace["hovertext"], json!(text));
        }
    }
    traces.retain(|trace| trace["x"].as_array().is_some_and(|x| !x.is_empty()));
    let (mut shape, height) = shape(session.lanes.len());
    let names: Vec<String> = session.lanes.iter().map(|lane| label(&lane.name)).collect();
    shape["yaxis"]["categoryarray"] = json!(names);
    // A worker without a run has its row too.
    shape["yaxis"]["autorange"] = json!(false);
    shape["yaxis"]["range"] = json!([names.len() as f64 - 0.5, -0.5]);
    let colours = match (coloured, named) {
        (true, true) => format!("its colour is the {}", outermost.name),
        (true, false) => format!(
            "its colour is the {}; after {} colours they begin again",
            outermost.name,
            COLOURS.len()
        ),
        _ => String::new(),
    };
    let failed = session.every().any(|attempt| attempt.failed);
    let red = if failed { "failed ones are red".to_string() } else { String::new() };
    let note = ["Each bar is a run".to_string(), colours, red];
    let note: Vec<String> = note.into_iter().filter(|part| !part.is_empty()).collect();
    (json!({ "data": traces, "layout": shape }), height, format!("{}.", note.join("; ")))
}

fn bins_of(session: &StartTimeline) -> (Json, usize, String) {
    let (bins, together) = session.bins(ROWS);
    let names: Vec<String> = session
        .lanes
        .chunks(together)
        .map(|lanes| match lanes {
            [one] => label(&one.name),
            [first, .., last] => label(&format!("{} to {}", first.name, last.name)),
            [] => String::new(),
        })
        .collect();
    let width = session.wall() / COLUMNS as f64;
    let percent =
        bins.iter().map(|row| numbers(row.iter().map(|part| (part * 1000.0).round() / 10.0)));
    let cells = json!({
        "type": "heatmap", "x0": number(width / 2.0), "dx": number(width), "y": names,
        "z": percent.collect::<Json>(), "zmin": 0, "zmax": 100, "colorscale": "Cividis",
        "colorbar": { "title": { "text": "busy, %", "side": "right" }, "thickness": 14 },
        "hovertemplate": "%{y}<br>at %{x:.4~g} s: %{z:.1f}% busy<extra></extra>",
    });
    let (shape, height) = shape(bins.len());
    let rows = match together {
        1 => "Each row is a worker".to_string(),
        several => format!("Each row is {several} workers"),
    };
    let note = format!(
        "{} runs are too many to be drawn one by one. {rows}, each column {}; the colour is how much of that time it was busy.",
        count(session.attempts as u64),
        seconds(width)
    );
    (json!({ "data": [cells], "layout": shape }), height, note)
}

/// Round times on a logarithmic axis, and their labels.
fn times(low: f64, high: f64) -> (Vec<f64>, Vec<String>) {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let steps: &[f64] = if high / low < 1000.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let name = |power: i32, step: f64| {
        let (unit, of) = match power {
            ..-6 => ("ns", -9),
            -6..-3 => ("µs", -6),
            -3..0 => ("ms", -3),
            _ => ("s", 0),
        };
        format!("{:.0} {unit}", step * 10f64.powi(power - of))
    };
    let all = (first..=last).flat_map(|power| steps.iter().map(move |step| (power, *step)));
    let place = |(power, step): (i32, f64)| (step * 10f64.powi(power), name(power, step));
    all.map(place).filter(|(place, _)| (low..=high).contains(place)).unzip()
}

/// A histogram of durations.
pub(crate) fn durations(durations: &DurationStats) -> Chart {
    let DurationStats { edges, counts, is_log, .. } = durations;
    let text = edges.windows(2).zip(counts).map(|(edge, n)| {
        format!("{} to {}<br>{} runs", seconds(edge[0]), seconds(edge[1]), count(*n))
    });
    // Repeat the last count, so that the last step is drawn up to its edge.
    let last = counts.last().copied();
    let heights = counts.iter().copied().chain(last).map(|n| n as f64);
    let steps = json!({
        "type": "scatter", "mode": "lines", "x": numbers(edges.iter().copied()), "y": numbers(heights),
        "line": { "shape": "hv", "color": COLOURS[0], "width": 1.5 }, "fill": "tozeroy",
        "fillcolor": "rgba(0,114,178,0.25)", "text": text.collect::<Vec<_>>(),
        "hovertemplate": "%{text}<extra></extra>",
    });
    let mut seconds_axis = with(plain("time of a run"), json!({ "ticksuffix": "s" }));
    if *is_log {
        let (places, names) = times(edges[0], edges[edges.len() - 1]);
        seconds_axis["type"] = json!("log");
        seconds_axis["tickvals"] = numbers(places);
        seconds_axis["ticktext"] = json!(names);
    }
    let shape = with(
        layout(300),
        json!({ "xaxis": seconds_axis, "yaxis": with(plain("runs"), json!({ "rangemode": "tozero" })), "hovermode": "x" }),
    );
    Chart {
        id: "durations".to_string(),
        label: None,
        height: 300,
        least_width: None,
        json: json!({ "data": [steps], "layout": shape }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_along_an_axis_are_round() {
        assert_eq!(times(0.003, 0.06).1, ["5 ms", "10 ms", "20 ms", "50 ms"]);
        assert_eq!(
            times(2e-7, 150.0).1,
            ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"]
        );
        assert_eq!(times(2e-7, 2e-5).1.first().map(String::as_str), Some("200 ns"));
    }
}
