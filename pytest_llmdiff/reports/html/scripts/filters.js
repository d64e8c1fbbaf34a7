// Which tests are shown, and in which order.

const CHUNK = 50;
const ALL = "";

const haystacks = new Map();
function haystack(test) {
  if (!haystacks.has(test)) {
    const probes = list(test, "probes").map((p) => `${p.probe}\n${p.prompt}\n${side(p, "-")}\n${side(p, "+")}`);
    haystacks.set(test, [test.test, ...list(test, "tags"), ...probes].join("\n").toLowerCase());
  }
  return haystacks.get(test);
}
const measures = (test) => list(test, "verdicts").map((verdict) => verdict.measure);
const FILTERS = {
  kind: (test) => [test.kind], measure: measures, tag: (test) => list(test, "tags"),
  suite: (test) => [test.suite], lang: (test) => list(test, "langs"),
};

function options(name) {
  const counted = new Map();
  for (const test of tests) for (const value of new Set(FILTERS[name](test))) counted.set(value, (counted.get(value) || 0) + 1);
  const select = byId(name);
  select.append(make("option", { value: ALL }, "all"));
  for (const [value, count] of counted) select.append(make("option", { value }, `${value} (${count})`));
  select.parentElement.hidden = counted.size < (name === "tag" || name === "lang" ? 1 : 2);
}

const value = (test, measure) => Math.max(...list(test, "verdicts")
  .filter((v) => (measure === ALL || v.measure === measure) && v.value !== undefined).map((v) => v.value), -Infinity);
const ORDERS = {
  worst: null,
  run: (a, b) => a.at - b.at,
  name: (a, b) => (a.test < b.test ? -1 : 1),
  value: (a, b) => {
    const [x, y] = [a, b].map((test) => value(test, byId("measure").value));
    return x === y ? 0 : x > y ? -1 : 1;
  },
};

let found = [];
let shown = 0;
function apply() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = Object.keys(FILTERS).map((name) => [FILTERS[name], byId(name).value]).filter(([, v]) => v !== ALL);
  found = tests.filter((test) => wanted.every(([of, v]) => of(test).includes(v))
    && words.every((word) => haystack(test).includes(word)));
  const order = ORDERS[byId("order").value];
  if (order) found.sort(order);
  byId("rows").replaceChildren();
  shown = 0;
  const count = (n) => n.toLocaleString("en");
  byId("shown").textContent = found.length === tests.length
    ? `${count(tests.length)} tests` : `${count(found.length)} of ${count(tests.length)} tests`;
  extend();
}

function clear() {
  for (const name of Object.keys(FILTERS)) byId(name).value = ALL;
  byId("order").value = "worst";
  byId("search").value = "";
  apply();
}

function extend(by = CHUNK) {
  byId("rows").append(...found.slice(shown, shown + by).map(row));
  shown = Math.min(found.length, shown + by);
  byId("more").parentElement.hidden = shown >= found.length;
  byId("more").textContent = `Show more (${(found.length - shown).toLocaleString("en")} left)`;
}

// A link to a test, or to a probe in one

function open(id) {
  const test = tests.find((t) => t.id === id || list(t, "probes").some((p) => p.id === id));
  if (!test) return;
  if (!found.includes(test)) {
    clear();
  }
  while (!byId(test.id) && shown < found.length) extend();
  const held = byId(test.id);
  held.open = true;
  fill(held, test);
  if (id !== test.id && !byId(id)) held.querySelector(".rest")?.click();
  const target = byId(id) || held;
  target.open = true;
  target.scrollIntoView({ block: "start" });
  target.querySelector("summary")?.focus({ preventScroll: true });
}
const follow = () => open(decodeURIComponent(location.hash.slice(1)));
