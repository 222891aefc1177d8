//! The HTML report of a job, open in a real browser.

#![allow(dead_code, unreachable_pub)]

use serde_json::json;

use crate::browser::Browser;
use crate::common::{Desk, gridmpi};

/// Runs job.toml and writes its report; opens it in a browser.
pub fn reported(desk: &Desk, exit: i32) -> Browser {
    desk.run_job().exits(exit);
    report(desk)
}

pub fn report(desk: &Desk) -> Browser {
    let ran = desk.run(gridmpi(), &["report", "out"]).exits(0);
    assert_eq!(ran.stdout, "wrote out/report.html\n");
    let mut browser = Browser::open(&desk.path("out/report.html"));
    browser.until("document.documentElement.dataset.drawn === 'yes'");
    browser
}

/// Checks that there are no requests, no errors, and no executed user strings.
pub fn assert_clean(browser: &mut Browser) {
    assert_eq!(browser.requests(), [""; 0]);
    assert_eq!(browser.complaints(), [""; 0]);
    assert_eq!(browser.eval("typeof window.hacked"), json!("undefined"));
}

/// The window position of a point of a trace, after scrolling to the chart.
fn point(chart: &str, trace: usize, point: usize) -> String {
    format!(
        "(() => {{
            const place = document.getElementById('{chart}');
            place.scrollIntoView({{ block: 'center', behavior: 'instant' }});
            const box = place.getBoundingClientRect(), trace = place._fullData[{trace}];
            const x = place._fullLayout[trace.xaxis.replace('x', 'xaxis')];
            const y = place._fullLayout[trace.yaxis.replace('y', 'yaxis')];
            const from = trace.type === 'bar' ? trace.base[{point}] + trace.x[{point}] / 2 : trace.x[{point}];
            return [box.left + x._offset + x.d2p(from), box.top + y._offset + y.d2p(trace.y[{point}])];
        }})()"
    )
}

fn hovered(chart: &str) -> String {
    format!(
        "[...document.querySelectorAll('#{chart} .hovertext')].map(e => e.textContent).join('|')"
    )
}

/// Hovers over a point until the chart shows all of `says`.
pub fn hover(browser: &mut Browser, chart: &str, (trace, index): (usize, usize), says: &[&str]) {
    browser.point_at(&point(chart, trace, index));
    let says = json!(says);
    browser.until(&format!("{says}.every(text => {}.includes(text))", hovered(chart)));
}
