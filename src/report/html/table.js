// Sorts a table by the column whose header is clicked, and shows the rows that pass the filter of every column.
"use strict";
for (const table of document.querySelectorAll("table.sorted")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  // The number of a cell, if it has one; else its text.
  const value = (cell) => ("value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent);
  const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    // A cell without anything in it comes last, whichever way.
    const last = (of) => of === "";
    const keyed = rows.map((row) => [value(row.cells[column]), row]);
    keyed.sort(([a], [b]) => last(a) - last(b) || compare(a, b) * (up ? 1 : -1));
    body.append(...keyed.map(([, row]) => row));
  }));

  const all = document.querySelector(`[data-rows="${table.id}"]`);
  const say = (shown) => {
    const count = (number) => number.toLocaleString("en");
    const noun = rows.length === 1 ? "row" : "rows";
    all.textContent = shown === rows.length ? `${count(shown)} ${noun}` : `${count(shown)} of ${count(rows.length)} ${noun}`;
  };
  say(rows.length);
  // Fewer are seen at a glance.
  if (rows.length <= 10) continue;

  // What a filter asks of a cell: `> 0.5`, `0.1 .. 0.5` or a number of numbers; else that its text contains this.
  const order = /^(>=|<=|>|<|=)\s*(\S+)$/, range = /^(\S+?)\s*\.\.\s*(\S+)$/;
  const test = (text, isNumeric) => {
    const words = text.trim().toLowerCase();
    if (words === "") return null;
    const contains = (cell) => cell.textContent.toLowerCase().includes(words);
    const [, sign, bound] = order.exec(words) || [], [, from, to] = range.exec(words) || [];
    const there = (cell) => "value" in cell.dataset;
    if (isNumeric && sign && !Number.isNaN(Number(bound))) {
      const by = { ">": (n) => n > bound, "<": (n) => n < bound, ">=": (n) => n >= bound, "<=": (n) => n <= bound, "=": (n, text) => n === Number(bound) || text === bound };
      return (cell) => there(cell) && by[sign](Number(cell.dataset.value), cell.textContent);
    }
    if (isNumeric && from && !Number.isNaN(Number(from)) && !Number.isNaN(Number(to))) {
      return (cell) => there(cell) && cell.dataset.value >= Number(from) && cell.dataset.value <= Number(to);
    }
    return contains;
  };
  const filters = heads.map(() => null);
  const show = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = filters.some((filter, column) => filter && !filter(row.cells[column]));
      shown += !row.hidden;
    }
    say(shown);
  };
  const line = table.tHead.insertRow();
  line.className = "filters";
  heads.forEach((head, column) => {
    const cell = line.appendChild(document.createElement("th")), input = document.createElement("input");
    const isNumeric = head.classList.contains("number");
    cell.className = head.className;
    input.type = "search";
    input.size = 6; // no wider than the cells below it
    input.placeholder = isNumeric ? "> 0.5" : "contains";
    input.setAttribute("aria-label", `filter ${head.textContent}`);
    input.title = isNumeric ? "a comparison (> 0.5), a range (0.1 .. 0.5), or part of the text" : "part of the text";
    input.addEventListener("input", () => {
      filters[column] = test(input.value, isNumeric);
      show();
    });
    cell.append(input);
  });
}
