// Draws the charts that the page describes, for the selected data set. All values are precomputed.
"use strict";
(function () {
  // On a narrow page the buttons would cover the legend.
  const config = () => ({ responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"],
    displayModeBar: narrow.matches ? false : "hover" });
  const charts = new Map();
  const night = matchMedia("screen and (prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 40rem)");
  // The style sheet has the colours of the page; those of traces, as they are on a dark page.
  const onDark = new Map([["#0072B2", "#2b8fd0"], ["#000000", "#ffffff"], ["#777", "#b0b0b0"], ["#fff", "#16181b"],
    ["#ddd", "#3a3f45"], ["#eeeeee", "#22262b"], ["#dddddd", "#31363d"], ["#c8c8c8", "#484e57"]]);
  // A line with more points has a band around it rather than a bar at each.
  const BARS = 60;

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

  function recoloured(value) {
    if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
    const own = (key, of) => (typeof of === "string" && key.endsWith("color") && onDark.get(of)) || recoloured(of);
    return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, own(key, of)]));
  }

  // Means with the standard deviation of what they fold: as bars or a band, and for the hover text.
  function withSpread({ deviations, ...trace }) {
    if (!deviations) return [trace];
    const mean = { ...trace, customdata: deviations };
    if (trace.type !== "scatter" || !trace.line) return [mean];
    const rgb = [1, 3, 5].map((at) => parseInt(trace.line.color.slice(at, at + 2), 16));
    const faded = (opacity) => `rgba(${rgb.join()},${opacity})`;
    if (trace.x.length <= BARS) {
      const bars = { type: "data", array: deviations, color: faded(0.55), thickness: 1.5, width: 3 };
      return [{ ...mean, error_y: bars }];
    }
    const there = trace.x.map((_, i) => i).filter((i) => trace.y[i] !== null && deviations[i] !== null);
    const edge = (sign) => ({
      type: "scatter", mode: "lines", x: there.map((i) => trace.x[i]), y: there.map((i) => trace.y[i] + sign * deviations[i]),
      xaxis: trace.xaxis, yaxis: trace.yaxis, legendgroup: trace.legendgroup, line: { width: 0 }, hoverinfo: "skip", showlegend: false,
    });
    return [edge(-1), { ...edge(1), fill: "tonexty", fillcolor: faded(0.18) }, mean];
  }

  function template() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: colour("--line"), linecolor: colour("--edge"), tickcolor: colour("--edge") };
    return { layout: {
      paper_bgcolor: colour("--page"), plot_bgcolor: colour("--page"), xaxis: axis, yaxis: axis,
      font: { family: "system-ui, sans-serif", size: narrow.matches ? 11 : 13, color: colour("--text") },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--faint"), activecolor: colour("--text") },
    } };
  }

  // A name in lines of at most so many letters, as far as it has places to wrap.
  function lines(name, most) {
    const all = [""];
    for (const part of name.split(/(?<=[/_.-])/)) {
      if (all.at(-1) && (all.at(-1) + part).length > most) all.push("");
      all[all.length - 1] += part;
    }
    return all;
  }

  // The names of categories below a narrow plot: in lines, or upright where that is too wide. Also how much
  // room this takes, in pixels.
  function named(axis, width) {
    const names = axis.ticktext || [], longest = Math.max(0, ...names.map((name) => name.length));
    if (longest <= 8) return [axis, 0];
    const letters = Math.floor(width / names.length / 7), wrapped = names.map((name) => lines(name, letters));
    if (wrapped.flat().every((line) => line.length <= letters)) {
      const most = Math.max(...wrapped.map((all) => all.length));
      return [{ ...axis, tickangle: 0, ticktext: wrapped.map((all) => all.join("<br>")) }, 16 * (most - 1)];
    }
    const short = (name) => (name.length > 24 ? name.slice(0, 22) + "..." : name);
    return [{ ...axis, tickangle: 90, ticktext: names.map(short) }, 6.5 * Math.min(longest, 24)];
  }

  // Plots of one parameter each, side by side as far as there is room.
  function arranged(layout, { count, title }, width) {
    const across = Math.min(count, width < 560 ? 1 : width < 900 ? 2 : 3), down = Math.ceil(count / across);
    const axes = Array.from({ length: count }, (_, i) => named(layout["xaxis" + (i ? i + 1 : "")], width / across - 90));
    const labels = Math.max(...axes.map(([, room]) => room));
    // The height of a plot, and of the labels and the title of its axis below it. (pixels)
    const plot = down > 1 ? 200 : 240, below = 85 + labels, all = down * plot + (down - 1) * below;
    const own = { ...layout, height: all + layout.margin.t + layout.margin.b + 30 + labels };
    for (let i = 0; i < count; i++) {
      const row = Math.floor(i / across), column = i % across, number = i ? i + 1 : "";
      const left = column / across + (column ? 0.06 : 0), top = 1 - row * (plot + below) / all;
      own["xaxis" + number] = { ...axes[i][0], domain: [left, (column + 1) / across] };
      own["yaxis" + number] = { ...layout["yaxis" + number], title: { text: column ? "" : title },
        domain: [Math.max(top - plot / all, 0), top] };
    }
    return own;
  }

  function figure(chart, choice, width) {
    const patches = (choice && choice.patches) || {};
    const of = (choice && choice.figure) || chart;
    let data = of.data.map((trace, i) => {
      const patch = patches[i] || {};
      return trace.type === "parcoords" ? parallel(trace, patch) : { ...trace, ...patch };
    });
    let layout = chart.panels ? arranged(of.layout, chart.panels, width) : { ...of.layout };
    if (night.matches) [data, layout] = [data.map(recoloured), recoloured(layout)];
    if (narrow.matches) {
      const flat = (bar) => ({ ...bar, orientation: "h", x: 0.5, y: 1.02, yanchor: "bottom", title: { ...bar.title, side: "top" } });
      data = data.map((trace) => trace.colorbar ? { ...trace, colorbar: flat(trace.colorbar) }
        : trace.marker && trace.marker.colorbar ? { ...trace, marker: { ...trace.marker, colorbar: flat(trace.marker.colorbar) } } : trace);
      if (!data.some((trace) => trace.type === "parcoords")) layout.margin = { ...layout.margin, l: 45, r: Math.min(layout.margin.r, 45) };
      data = data.map((trace) => (trace.name ? { ...trace, name: lines(trace.name, 36).join("<br>") } : trace));
      // A legend above the chart takes a line for each name, or more.
      const told = data.filter((trace) => trace.name && trace.showlegend !== false);
      if (told.length > 1 && !chart.panels) layout.height += 18 * told.flatMap((trace) => trace.name.split("<br>")).length;
    }
    return { data: data.flatMap(withSpread), layout: { ...layout, template: template() } };
  }

  const drawn = new Map();
  function draw(id, at) {
    const chart = charts.get(id), choice = chart.choices && chart.choices[at];
    const place = document.getElementById(id);
    const { data, layout } = figure(chart, choice, place.clientWidth);
    drawn.set(id, { at, width: place.clientWidth });
    if (layout.height) place.style.height = layout.height + "px";
    document.querySelector(`[data-note="${id}"]`).textContent = (choice && choice.note) || "";
    Plotly.react(place, data, layout, config());
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

  const again = () => drawn.forEach(({ at }, id) => draw(id, at));
  for (const query of [night, narrow]) query.addEventListener("change", again);
  let soon = 0;
  addEventListener("resize", () => {
    clearTimeout(soon);
    soon = setTimeout(() => drawn.forEach(({ at, width }, id) => {
      if (charts.get(id).panels && document.getElementById(id).clientWidth !== width) draw(id, at);
    }), 100);
  });

  for (const time of document.querySelectorAll("time[data-seconds]")) {
    const date = new Date(1000 * time.dataset.seconds);
    time.dateTime = date.toISOString();
    time.textContent = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
  document.documentElement.dataset.drawn = "yes";
})();
