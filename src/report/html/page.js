// Draws the charts that the page describes, for the selected data set. All values are precomputed.
"use strict";
(function () {
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const charts = new Map();

  // Parallel coordinates: points with a score, coloured by it; the best one is red and on top.
  function parallel(trace, { scores, best }) {
    const there = scores.map((_, i) => i).filter((i) => scores[i] !== null && i !== best);
    if (best !== null && scores[best] !== null) there.push(best);
    const of = there.map((i) => scores[i]);
    const low = of.reduce((a, b) => Math.min(a, b), Infinity);
    const high = of.reduce((a, b) => Math.max(a, b), -Infinity);
    const part = (s) => (high > low ? (s - low) / (high - low) : 0.5);
    const colour = (i) => (i === best ? 1 : 0.9 * (trace.high ? part(scores[i]) : 1 - part(scores[i])));
    const dimensions = trace.dimensions.map((d) => ({ ...d, values: there.map((i) => d.values[i]) }));
    dimensions.push({ label: trace.score, values: of });
    const colorscale = [[0, "#440154"], [0.23, "#3b528b"], [0.46, "#21918c"], [0.68, "#5ec962"],
      [0.9, "#e3c81e"], [0.95, "#e3c81e"], [0.96, "#d40000"], [1, "#d40000"]];
    return { ...trace, dimensions, line: { color: there.map(colour), colorscale, cmin: 0, cmax: 1 } };
  }

  function figure(chart, choice) {
    if (choice && choice.figure) return choice.figure;
    const patches = (choice && choice.patches) || {};
    const data = chart.data.map((trace, i) => {
      const patch = patches[i] || {};
      return trace.type === "parcoords" ? parallel(trace, patch) : { ...trace, ...patch };
    });
    return { data, layout: { ...chart.layout } };
  }

  function draw(id, at) {
    const chart = charts.get(id);
    const choice = chart.choices && chart.choices[at];
    const { data, layout } = figure(chart, choice);
    const place = document.getElementById(id);
    if (layout.height) place.style.height = layout.height + "px";
    document.querySelector(`[data-note="${id}"]`).textContent = (choice && choice.note) || "";
    Plotly.react(place, data, layout, config);
  }

  for (const source of document.querySelectorAll("script[data-chart]")) {
    const id = source.dataset.chart;
    charts.set(id, JSON.parse(source.textContent));
    const select = document.querySelector(`select[data-choice="${id}"]`);
    if (select) {
      for (const choice of charts.get(id).choices) select.add(new Option(choice.name));
      // A selection applies to every chart of the same data sets.
      select.addEventListener("change", () => {
        for (const other of document.querySelectorAll("select[data-choice]")) {
          if (other.dataset.of !== select.dataset.of) continue;
          // Charts of other parameters may have fewer data sets.
          const names = [...other.options].map((option) => option.text);
          const name = select.options[select.selectedIndex].text;
          const at = names[select.selectedIndex] === name ? select.selectedIndex : names.indexOf(name);
          if (at >= 0) {
            other.selectedIndex = at;
            draw(other.dataset.choice, at);
          }
        }
      });
    }
    draw(id, 0);
  }

  for (const time of document.querySelectorAll("time[data-seconds]")) {
    const date = new Date(1000 * time.dataset.seconds);
    time.dateTime = date.toISOString();
    time.textContent = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }

  // A click on a column header sorts by that column.
  for (const table of document.querySelectorAll("table.sorted")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => {
        const cell = row.cells[column];
        return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
      };
      const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a), value(b)) * (up ? 1 : -1));
      table.tBodies[0].append(...rows);
    }));
  }
  document.documentElement.dataset.drawn = "yes";
})();
