// Which tests are shown, in which order, and which is open. The address says it all: a link shows
// what was seen, and the browser's back button leads back to it.

const CHUNK = 50;
const haystacks = new Map();
function haystack(test) {
  if (!haystacks.has(test)) {
    const probes = list(test, "probes").map((p) => `${p.probe}\n${p.prompt}\n${side(p, "-")}\n${side(p, "+")}`);
    haystacks.set(test, [test.test, test.reason || "", ...list(test, "tags"), ...probes].join("\n").toLowerCase());
  }
  return haystacks.get(test);
}
const FILTERS = {
  kind: (test) => [test.kind], cause: (test) => list(test, "causes").map(String),
  measure: (test) => list(test, "verdicts").map((verdict) => verdict.measure), tag: (test) => list(test, "tags"),
  suite: (test) => [test.suite], lang: (test) => list(test, "langs"),
};
const SHOWING = ["q", ...Object.keys(FILTERS), "order"];

function options(name) {
  const counted = new Map();
  for (const test of tests) for (const value of new Set(FILTERS[name](test))) counted.set(value, (counted.get(value) || 0) + 1);
  const select = byId(name);
  select.append(make("option", { value: "" }, "all"));
  const names = name === "cause" ? data.causes : {};
  for (const [value, count] of counted) select.append(make("option", { value }, `${names[value] || value} (${count})`));
  select.parentElement.hidden = counted.size < (name === "tag" || name === "lang" ? 1 : 2);
}

const largest = (test, measure) => Math.max(...list(test, "verdicts")
  .filter((v) => (!measure || v.measure === measure) && v.value !== undefined).map((v) => v.value), -Infinity);
const ORDERS = {
  run: (a, b) => a.at - b.at,
  name: (a, b) => (a.test < b.test ? -1 : 1),
  value: (a, b) => {
    const [x, y] = [a, b].map((test) => largest(test, state.get("measure")));
    return x === y ? 0 : x > y ? -1 : 1;
  },
};

// The address

let state = new URLSearchParams();

// Other fragments, such as #measures, are places on the page. Those of a test alone are from
// older reports.
function stated() {
  const fragment = location.hash.slice(1);
  if (fragment.startsWith("t-")) return new URLSearchParams({ open: fragment });
  return fragment.includes("=") || !fragment ? new URLSearchParams(fragment) : null;
}

function follow() {
  const found = stated();
  if (found) show(found);
}

// Some values of the state; empty ones leave it. Typing and stepping replace the last entry.
function go(values, { replace = false } = {}) {
  const next = new URLSearchParams(state);
  for (const [name, value] of Object.entries(values)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  if (next.toString() === state.toString()) return;
  const address = next.size ? `#${next}` : location.pathname + location.search;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  show(next);
}

let applied = null;
function show(next) {
  state = next;
  const key = SHOWING.map((name) => state.get(name) || "").join("\n");
  if (key !== applied) {
    applied = key;
    for (const name of SHOWING) byId(name).value = state.get(name) || "";
    apply();
  }
  detail();
}

function apply() {
  const words = (state.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = Object.keys(FILTERS).filter((name) => state.get(name)).map((name) => [FILTERS[name], state.get(name)]);
  found = tests.filter((test) => wanted.every(([of, value]) => of(test).includes(value))
    && words.every((word) => haystack(test).includes(word)));
  const order = ORDERS[state.get("order")];
  if (order) found.sort(order);
  byId("rows").replaceChildren();
  shown = 0;
  const count = (n) => n.toLocaleString("en");
  byId("shown").textContent = found.length === tests.length
    ? `${count(tests.length)} ${tests.length === 1 ? "test" : "tests"}` : `${count(found.length)} of ${count(tests.length)} tests`;
  byId("clear").hidden = !SHOWING.some((name) => state.get(name));
  for (const link of document.querySelectorAll(".count")) {
    if (link.dataset.kind === state.get("kind")) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  extend();
}

const clear = () => go(Object.fromEntries(SHOWING.map((name) => [name, ""])));

// Links on the page: to a test, to what a filter shows, or to a place.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const fragment = link.getAttribute("href").slice(1);
  if (!fragment.includes("=") && !fragment.startsWith("t-")) {
    byId(fragment)?.scrollIntoView();
    if (link.matches(".skip")) byId(fragment).focus({ preventScroll: true });
    return;
  }
  const asked = new URLSearchParams(fragment.startsWith("t-") ? { open: fragment } : fragment);
  if (asked.has("open")) {
    steady(link, () => open(asked.get("open")));
    return;
  }
  const again = asked.has("kind") && asked.get("kind") === state.get("kind"); // a second click
  go({ ...Object.fromEntries(SHOWING.map((name) => [name, again ? "" : asked.get(name)])), order: state.get("order") });
  byId("tests").scrollIntoView();
});
