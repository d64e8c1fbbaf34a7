// The matrix: a row for each probe, a column for each measure.

const ROW_HEIGHT = 34; // pixels
const ROWS_AROUND = 12; // rows that are drawn above and below what is seen
// Value over limit from which on each colour begins.
const TIMES = [0.25, 0.5, 0.75, 1, 1.5, 2, 4];
const TIMES_TOLD = ["up to ¼ of the limit", "to ½", "to ¾", "to the limit", "beyond, to 1½ times", "to 2 times", "to 4 times", "more"];
const MATRIX_GROUPS = {
  none: null,
  tag: (found) => (found.tags.length ? found.tags : ["without a tag"]),
  suite: (found) => [...found.suites],
  test: (found) => [...found.cases],
  model: (found) => [found.model],
};
const caseOf = (test) => test.test.split("[")[0];

function timesOver(value, limit, atLeast) {
  if (value === undefined || limit === undefined) return null;
  const [above, below] = atLeast ? [limit, value] : [value, limit];
  if (above <= below) return below > 0 && above > 0 ? above / below : above === below && above > 0 ? 1 : 0;
  return below > 0 ? above / below : Infinity;
}
const stepOver = (times) => TIMES.filter((end) => times > end).length;
// How bad a cell is, for the order: what was not measured comes after what was.
const badness = (cell) => (!cell ? -4 : cell.times !== null && cell.times !== undefined ? cell.times : cell.value !== undefined ? -1 + Math.atan(cell.value) / 4 : cell.missing ? -2 : -3);

function cellOf(v, id) {
  const times = timesOver(v.value, v.edge, (v.limit || "").startsWith("≥"));
  return { id, value: v.value, shown: v.shown, limit: v.limit, outcome: v.outcome, times };
}

// What each test of a function measured, so that one that ended early is seen to lack something.
function measuredByCase(shown) {
  const found = new Map();
  for (const test of shown) {
    const names = found.get(caseOf(test)) || new Set();
    for (const v of list(test, "verdicts")) if (!v.interval) names.add(v.measure);
    found.set(caseOf(test), names);
  }
  return found;
}

function matrixOf(shown) {
  const probes = new Map();
  const columns = new Map();
  const wanted = measuredByCase(tests);
  for (const test of shown) {
    const single = new Map();
    const sets = [];
    for (const v of list(test, "verdicts")) {
      if (v.interval) sets.push([v, new Map(list(v, "members"))]);
      else if (v.probe !== undefined) single.set(v.probe, [...(single.get(v.probe) || []), v]);
    }
    for (const found of list(test, "probes")) {
      const key = `${test.model || ""}\n${found.probe}\n${found.prompt}`;
      if (!probes.has(key)) {
        probes.set(key, { id: found.id, model: test.model, prompt: found.prompt, lang: found.lang, tags: list(test, "probes").length === 1 ? list(test, "tags") : list(found, "tags"), suites: new Set(), cases: new Set(), cells: new Map() });
      }
      const held = probes.get(key);
      held.suites.add(test.suite);
      held.cases.add(caseOf(test));
      const put = (measure, cell) => {
        columns.set(measure, (columns.get(measure) || 0) + 1);
        if (badness(cell) > badness(held.cells.get(measure))) held.cells.set(measure, cell);
      };
      for (const v of single.get(found.probe) || []) put(v.measure, cellOf(v, found.id));
      for (const [v, members] of sets) {
        const value = members.get(found.probe);
        const shown = value === undefined ? "set" : value === null ? "not judged" : digits(value);
        put(v.measure, { id: found.id, set: true, value: value ?? undefined, shown, outcome: v.outcome });
      }
      if (test.kind === "passed" || test.kind === "skipped" || sets.length) continue;
      for (const measure of wanted.get(caseOf(test))) {
        if (!(single.get(found.probe) || []).some((v) => v.measure === measure)) put(measure, { id: found.id, missing: true });
      }
    }
  }
  return { probes: [...probes.values()], columns: [...columns].sort((a, b) => b[1] - a[1]).map(([name]) => name) };
}

function cellText(cell) {
  if (!cell) return ["", "not asked"];
  if (cell.missing) return ["–", "not measured: the test ended before it"];
  if (cell.set) return [cell.shown, `a member of a set, which is judged as a whole: ${cell.outcome}`];
  return [cell.shown, `${cell.limit ? `limit ${cell.limit}` : "no limit"}: ${cell.outcome}`];
}

const matrix = { probes: [], columns: [], lines: [], by: null, falling: true, at: [0, 0], whole: false };

function arrange() {
  const sorted = [...matrix.probes];
  if (matrix.by !== null) {
    const by = matrix.by === "" ? null : matrix.by;
    const value = (found) => (by === null ? found.prompt : badness(found.cells.get(by)));
    sorted.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return x === y ? 0 : (x > y) === matrix.falling ? -1 : 1;
    });
  }
  const group = MATRIX_GROUPS[byId("group").value];
  if (group) {
    const groups = new Map();
    for (const found of sorted) {
      for (const name of group(found)) {
        if (!groups.has(name)) groups.set(name, []);
        groups.get(name).push(found);
      }
    }
    matrix.lines = [...groups].flatMap(([name, held]) => [{ name, count: held.length }, ...held]);
  } else matrix.lines = sorted;
  matrix.at = [0, 0];
}

function matrixLine(line, n) {
  const at = (column) => (n === matrix.at[0] && column === matrix.at[1] ? "0" : "-1");
  const row = make("tr", { "aria-rowindex": n + 2, "data-n": n });
  if (line.cells === undefined) {
    row.append(make("th", { scope: "rowgroup", colspan: matrix.columns.length + 1, class: "group", tabindex: at(0) }, text("bdi", line.name), ` ${line.count.toLocaleString("en")}`));
    return row;
  }
  const asked = line.model && byId("group").value !== "model" ? `${line.model}: ${line.prompt}` : line.prompt;
  row.append(text("th", asked.slice(0, 200), { scope: "row", tabindex: at(0), lang: line.lang, title: line.prompt.slice(0, 600) }));
  matrix.columns.forEach((measure, column) => {
    const cell = line.cells.get(measure);
    const [shown, said] = cellText(cell);
    const found = make("td", { tabindex: at(column + 1), title: said, class: cell ? (cell.missing ? "missing" : cell.value === undefined || cell.times === null || cell.set ? "without" : css(cell.outcome)) : null }, shown);
    if (cell && cell.times !== null && cell.times !== undefined) found.dataset.step = stepOver(cell.times);
    if (!shown || cell?.missing) found.setAttribute("aria-label", said.split(":")[0]);
    row.append(found);
  });
  return row;
}

function drawMatrix() {
  const box = byId("matrix-box");
  const body = box.querySelector("tbody");
  const count = matrix.lines.length;
  const first = matrix.whole ? 0 : Math.max(0, Math.min(Math.floor(box.scrollTop / ROW_HEIGHT), count - 1) - ROWS_AROUND);
  const last = matrix.whole ? count : Math.min(count, Math.ceil((box.scrollTop + box.clientHeight) / ROW_HEIGHT) + ROWS_AROUND);
  const space = (rows) => {
    const found = make("tr", { "aria-hidden": "true", class: "space" }, make("td", { colspan: matrix.columns.length + 1 }));
    found.firstChild.style.blockSize = `${rows * ROW_HEIGHT}px`;
    return rows ? [found] : [];
  };
  const focused = body.contains(document.activeElement);
  if (matrix.at[0] < first || matrix.at[0] >= last) matrix.at = [first, matrix.at[1]];
  body.replaceChildren(...space(first), ...matrix.lines.slice(first, last).map((line, n) => matrixLine(line, first + n)), ...space(count - last));
  if (focused) focusCell();
}

function focusCell() {
  const [n, column] = matrix.at;
  const row = byId("matrix-box").querySelector(`[data-n="${n}"]`);
  (row?.children[column] || row?.children[0])?.focus({ preventScroll: true });
}

function moveTo(n, column) {
  const box = byId("matrix-box");
  matrix.at = [Math.min(Math.max(n, 0), matrix.lines.length - 1), Math.min(Math.max(column, 0), matrix.columns.length)];
  const top = matrix.at[0] * ROW_HEIGHT;
  const head = box.querySelector("thead").offsetHeight;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW_HEIGHT + head > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW_HEIGHT + head - box.clientHeight;
  drawMatrix();
  focusCell();
  document.activeElement.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function openCell(element) {
  const line = matrix.lines[Number(element.closest("tr").dataset.n)];
  if (!line || line.cells === undefined) return;
  const cell = line.cells.get(matrix.columns[element.cellIndex - 1]);
  open((cell || line).id);
}

function matrixHead() {
  const column = (name, shown) => {
    const sorted = matrix.by === name ? (matrix.falling ? "descending" : "ascending") : null;
    const button = make("button", { type: "button" }, shown, make("span", { "aria-hidden": "true" }, sorted ? (matrix.falling ? " ↓" : " ↑") : ""));
    button.addEventListener("click", () => {
      if (matrix.by !== name) [matrix.by, matrix.falling] = [name, name !== ""];
      else if (matrix.falling === (name !== "")) matrix.falling = !matrix.falling;
      else matrix.by = null;
      arrange();
      byId("matrix-box").querySelector("thead").replaceChildren(matrixHead());
      byId("matrix-box").scrollTop = 0;
      drawMatrix();
      byId("matrix-box").querySelectorAll("thead button")[name === "" ? 0 : matrix.columns.indexOf(name) + 1].focus();
    });
    return make("th", { scope: "col", "aria-sort": sorted }, button);
  };
  return make("tr", { "aria-rowindex": 1 }, column("", "probe"), ...matrix.columns.map((name) => column(name, name)));
}

// Shows the probes of some tests.
function showMatrix(shown) {
  Object.assign(matrix, matrixOf(shown));
  byId("matrix").hidden = byId("to-matrix").hidden = !matrix.columns.length;
  if (!matrix.columns.includes(matrix.by)) matrix.by = null;
  arrange();
  const box = byId("matrix-box");
  const wide = make("table", { role: "grid", class: "matrix", "aria-label": "Probes and measures", "aria-rowcount": matrix.lines.length + 1 },
    make("colgroup", {}, make("col", { class: "probes" }), ...matrix.columns.map(() => make("col"))),
    make("thead", {}, matrixHead()), make("tbody"));
  wide.style.setProperty("--columns", matrix.columns.length);
  box.replaceChildren(wide);
  box.scrollTop = 0;
  byId("matrix-count").textContent = `${matrix.probes.length.toLocaleString("en")} ${matrix.probes.some((found) => found.model) ? "pairs of a probe and a tuned model" : "probes"}`;
  drawMatrix();
}

function startMatrix() {
  const box = byId("matrix-box");
  const key = (name, properties) => make("li", properties, name);
  byId("matrix-scale").append(...TIMES_TOLD.map((name, step) => key(name, { "data-step": step })),
    key("not measured", { class: "missing" }), key("no limit, or judged with its set", { class: "without" }));
  let waiting = 0;
  box.addEventListener("scroll", () => {
    waiting = waiting || requestAnimationFrame(() => { waiting = 0; drawMatrix(); });
  });
  box.addEventListener("click", (event) => {
    const cell = event.target.closest("tbody :is(td, th)");
    if (!cell || cell.closest(".space")) return;
    matrix.at = [Number(cell.closest("tr").dataset.n), cell.cellIndex];
    openCell(cell);
  });
  box.addEventListener("focusin", (event) => {
    const cell = event.target.closest("tbody :is(td, th)");
    if (cell) matrix.at = [Number(cell.closest("tr").dataset.n), cell.cellIndex];
  });
  box.addEventListener("keydown", (event) => {
    if (!event.target.closest("tbody") || event.altKey || event.metaKey) return;
    const [n, column] = matrix.at;
    const page = Math.max(1, Math.floor(box.clientHeight / ROW_HEIGHT) - 2);
    const end = matrix.lines.length - 1;
    const steps = {
      ArrowDown: () => moveTo(n + 1, column), ArrowUp: () => moveTo(n - 1, column),
      ArrowRight: () => moveTo(n, column + 1), ArrowLeft: () => moveTo(n, column - 1),
      PageDown: () => moveTo(n + page, column), PageUp: () => moveTo(n - page, column),
      Home: () => moveTo(event.ctrlKey ? 0 : n, 0), End: () => moveTo(event.ctrlKey ? end : n, event.ctrlKey ? column : Infinity),
      Enter: () => openCell(event.target), " ": () => openCell(event.target),
    };
    if (!steps[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    steps[event.key]();
  });
  byId("group").addEventListener("change", () => {
    arrange();
    box.scrollTop = 0;
    drawMatrix();
  });
  const whole = (yes) => () => {
    matrix.whole = yes;
    if (!byId("matrix").hidden) drawMatrix();
  };
  addEventListener("beforeprint", whole(true));
  addEventListener("afterprint", whole(false));
  showMatrix(tests);
}
