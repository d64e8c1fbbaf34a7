// Charts, by the vendored library. Each takes the place of what shows without JavaScript.

const FEW = 15; // values up to which each is drawn by itself
const RED = "var(--bad)";

// The library writes a style into the picture. It is in the page's own (styles/plots.css), and the
// policy would refuse this one.
function chart(label, options) {
  const found = Plot.plot({ className: "chart", style: { background: "none" }, ...options });
  for (const style of found.querySelectorAll("style")) style.remove();
  // One picture with one name: its parts are not announced.
  for (const part of found.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
  found.setAttribute("role", "img");
  found.setAttribute("aria-label", label);
  return found;
}

const limitMarks = (limits) => [
  Plot.ruleX(limits, { stroke: RED, strokeDasharray: "4 3", strokeWidth: 1.5 }),
  Plot.axisX(limits, { anchor: "top", tickSize: 0, tickPadding: 3, color: RED, tickFormat: (x) => `limit ${digits(x)}` }),
];

// The values of a measure in some tests, the base's beside them where they are known.
function distributionChart(measure, shown, width, label) {
  const verdicts = shown.flatMap((test) => list(test, "verdicts")).filter((v) => v.measure === measure && !v.interval && v.value !== undefined);
  const limits = [...new Set(verdicts.map((v) => v.edge).filter((x) => x !== undefined))].sort((a, b) => b - a).slice(0, 3);
  const noise = d3.max(verdicts, (v) => v.noise);
  const paired = verdicts.some((v) => v.base !== undefined);
  const values = verdicts.flatMap((v) => [
    { value: v.value, side: "tuned", beyond: v.outcome === "regressed" },
    ...(v.base === undefined ? [] : [{ value: v.base, side: "base" }]),
  ]);
  const [low, high] = d3.extent([0, ...values.map((v) => v.value), ...limits]);
  const end = high > low ? high : low + 1;
  const colour = (v) => (v.beyond ? "var(--bad-bar)" : !paired ? "var(--bar)" : v.side === "base" ? "var(--base)" : "var(--tuned)");
  const band = noise > low ? [Plot.rectX([0], { x1: low, x2: Math.min(noise, end), fill: "var(--noise)", insetTop: 0 })] : [];
  const sides = paired ? ["base", "tuned"] : ["tuned"];
  const shared = { width, marginTop: 18, marginRight: 12, x: { domain: [low, end], nice: true, label: null, ticks: 5 } };
  if (verdicts.length <= FEW) {
    return chart(label, { ...shared, height: paired ? 104 : 84, marginLeft: paired ? 44 : 12, marginBottom: 24,
      y: { domain: sides, label: null, axis: paired ? "left" : null, tickSize: 0 },
      marks: [...band, ...limitMarks(limits),
        ...(paired ? [Plot.link(verdicts.filter((v) => v.base !== undefined), { x1: "base", x2: "value", y1: () => "base", y2: () => "tuned", stroke: "var(--line)" })] : []),
        Plot.dot(values, { x: "value", y: "side", r: 5, fill: colour, fillOpacity: 0.75, stroke: "var(--card)", strokeWidth: 0.75 }), Plot.axisX({ ticks: 5, label: null })] });
  }
  const bins = Array.from({ length: 25 }, (_, n) => low + ((end - low) * n) / 24);
  const bars = (of, fill) => Plot.rectY(of, Plot.binX({ y2: "count" }, { x: "value", fy: paired ? "side" : undefined, y1: 0, thresholds: bins, fill }));
  return chart(label, { ...shared, height: paired ? 150 : 104, marginLeft: 34, marginBottom: 24,
    // Square roots, so that a single value beside thousands is visible.
    marginRight: paired ? 44 : 12,
    y: { type: "sqrt", label: null, ticks: 2, tickFormat: (n) => (Number.isInteger(n) ? String(n) : ""), grid: true }, fy: { domain: sides, label: null, axis: paired ? "right" : null, tickPadding: 4 },
    marks: [...band, bars(values, (v) => (!paired ? "var(--bar)" : v.side === "base" ? "var(--base)" : "var(--tuned)")),
      bars(values.filter((v) => v.beyond), "var(--bad-bar)"), ...limitMarks(limits), Plot.axisX({ ticks: 5, label: null })] });
}

// The estimates of the sets of one measure, with their intervals.
function setsChart(name, sets, width) {
  const known = [0, ...sets.flatMap((set) => [set.at, set.low, set.high, set.edge])].filter((x) => x !== null);
  const [low, high] = d3.extent(known);
  const end = high > low ? high : low + 1;
  const lines = sets.map((set, line) => ({ ...set, line, from: set.low ?? low, to: set.high ?? end }));
  const colour = (set) => ({ regressed: "var(--bad-bar)", passed: "var(--good-bar)" })[set.outcome] || "var(--warn-bar)";
  const words = sets.map((set) => `${set.test} ${set.value}, ${set.interval}${set.limit ? `, limit ${set.limit}` : ""}`).join("; ");
  return chart(`${name}: ${words}`, {
    width, height: 36 + 34 * sets.length, marginLeft: 12, marginRight: 12, marginTop: 4, marginBottom: 26,
    x: { domain: [low, end], nice: true, label: null, ticks: 5 }, y: { domain: sets.map((_, line) => line), axis: null },
    marks: [
      Plot.rect(lines.filter((set) => set.noise !== null && set.noise > low), { x1: low, x2: (set) => Math.min(set.noise, end), y: "line", fill: "var(--noise)", insetTop: 12 }),
      Plot.text(lines, { x: low, y: "line", text: "test", textAnchor: "start", dy: -9, lineWidth: width / 12 - 3, textOverflow: "ellipsis-end", fill: "var(--soft)" }),
      Plot.link(lines, { x1: "from", x2: "to", y1: "line", y2: "line", stroke: colour, strokeWidth: 6, strokeLinecap: "butt", dy: 6 }),
      Plot.tickX(lines.filter((set) => set.edge !== null), { x: "edge", y: "line", stroke: RED, strokeWidth: 2, strokeDasharray: "4 3", insetTop: 12 }),
      Plot.dot(lines.filter((set) => set.at !== null), { x: "at", y: "line", r: 4.5, fill: "var(--ink)", stroke: "var(--card)", dy: 6 }),
      Plot.axisX({ ticks: 5, label: null }),
    ],
  });
}

function drawCharts() {
  if (typeof Plot === "undefined") return;
  byId("heights")?.remove(); // these charts have an axis, or no heights
  for (const figure of document.querySelectorAll("figure[data-measure]")) {
    const simple = figure.querySelector("svg");
    const drawn = distributionChart(figure.dataset.measure, tests, Math.max(240, figure.clientWidth - 34), simple.getAttribute("aria-label"));
    figure.querySelector(".ends").remove();
    simple.replaceWith(drawn);
  }
  for (const figure of document.querySelectorAll("figure[data-set]")) {
    const own = list(data, "sets").filter((set) => set.link === figure.dataset.set && set.name === figure.dataset.name);
    if (own.length) figure.replaceChildren(setsChart(figure.dataset.name, own, Math.max(240, figure.clientWidth)));
  }
  const held = byId("set-charts");
  const names = [...new Set(list(data, "sets").map((set) => set.name))];
  for (const name of names) {
    const figure = make("figure", {}, make("figcaption", {}, make("strong", {}, name)));
    held.append(figure);
    figure.append(setsChart(name, data.sets.filter((set) => set.name === name), Math.max(240, figure.clientWidth - 34)));
  }
}
