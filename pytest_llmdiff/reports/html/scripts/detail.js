// The open test beside the list: its replies and what explains them, on tabs.

const MEMBERS = 20; // that are shown at once
const TABS = {
  replies: "Replies", tokens: "Tokens", attention: "Attention", words: "Words", origin: "Origin", raw: "Raw",
};

// Tests and probes by their ids.
const places = new Map();
for (const test of tests) {
  places.set(test.id, { test, probe: list(test, "probes")[0] });
  for (const probe of list(test, "probes")) places.set(probe.id, { test, probe });
}

let drawn = null;
function detail() {
  const held = byId("detail");
  const id = state.get("open");
  const place = places.get(id);
  const key = place ? `${id}\n${state.get("tab") || ""}` : null;
  document.documentElement.dataset.panel = place ? "open" : "closed";
  held.hidden = !place;
  // Behind a full page nothing can be reached.
  for (const name of ["main", "header"]) document.querySelector(name).inert = Boolean(place) && narrow.matches;
  for (const current of document.querySelectorAll('.row a[aria-current]')) current.removeAttribute("aria-current");
  if (place) {
    const found = byId(place.test.id);
    found?.firstChild.setAttribute("aria-current", "true");
  }
  if (key === drawn) return;
  const samePlace = place && drawn?.split("\n")[0] === id;
  const inside = held.contains(document.activeElement) ? document.activeElement.id : null;
  const top = held.scrollTop;
  drawn = key;
  held.replaceChildren(...(place ? panel(place) : []));
  held.scrollTop = samePlace ? top : 0;
  if (inside !== null && place) (byId(inside) || byId("detail-head")).focus({ preventScroll: true });
}
const narrow = matchMedia("(max-width: 60rem)");
narrow.addEventListener("change", detail);

function panel({ test, probe }) {
  const tabs = tabsOf(test, probe);
  const chosen = tabs.has(state.get("tab")) ? state.get("tab") : "replies";
  const main = test.main === undefined ? null : test.verdicts[test.main];
  const title = probe && list(test, "probes").length > 1 ? test.title : probe?.prompt || test.title;
  return [
    walk(test),
    make("header", {},
      make("p", { class: "verdict" }, badge(test.kind), main && [" ", main.name, " "].join(""),
        main ? make("strong", { class: css(main.outcome) }, main.shown) : null,
        main?.limit ? make("span", { class: "limit" }, ` limit ${main.limit}`) : null),
      text("h2", title, { id: "detail-head", tabindex: "-1", lang: probe?.lang }),
      make("p", { class: "mono where" }, test.test),
      test.reason ? text("p", test.reason, { class: "reason" }) : null),
    list(test, "probes").length > 1 ? members(test, probe) : null,
    tabList([...tabs.keys()], chosen, probe),
    make("div", { role: "tabpanel", id: "tab-panel", "aria-labelledby": `tab-${chosen}`, tabindex: "0" }, ...tabs.get(chosen)()),
  ].filter(Boolean);
}

// By name, the tabs that have something, and what draws them.
function tabsOf(test, probe) {
  const blocks = probe ? list(probe, "folds") : [];
  const found = new Map([["replies", () => [
    ...(probe ? [replies(probe, list(test, "probes").length > 1)] : []),
    ...(test.verdicts ? [verdicts(test)] : []),
    ...(probe ? besides(probe) : []),
    ...[...blocks.filter((block) => !block.tab), ...list(test, "folds")].map(fold),
    ...(test.message ? [make("details", { class: "fold", open: probe ? null : "" },
      make("summary", {}, "The failure as pytest shows it"), text("pre", test.message, { tabindex: "0" }))] : []),
    again(test),
  ]]]);
  for (const name of Object.keys(TABS)) {
    const own = blocks.filter((block) => block.tab === name);
    if (own.length) found.set(name, () => own.map((block) =>
      make("section", { class: "block" }, make("h3", {}, block.title), ...FORMS[block.form](block))));
  }
  return found.set("raw", () => [
    text("pre", JSON.stringify({ ...test, probes: probe && [probe] }, null, 2), { class: "raw", tabindex: "0" })]);
}

function tabList(names, chosen, probe) {
  const held = make("div", { role: "tablist", "aria-label": "About this test" }, ...names.map((name) => {
    const tab = make("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "tab-panel",
      "aria-selected": String(name === chosen), tabindex: name === chosen ? "0" : "-1",
    }, name === "replies" && !probe ? "Result" : TABS[name]);
    tab.addEventListener("click", () => choose(name));
    return tab;
  }));
  const choose = (name) => {
    go({ tab: name === "replies" ? "" : name }, { replace: true });
    byId(`tab-${name}`).focus({ preventScroll: true });
  };
  const ENDS = { Home: 0, End: names.length - 1 };
  const STEPS = { ArrowLeft: -1, ArrowRight: 1 };
  held.addEventListener("keydown", (event) => {
    const at = names.indexOf(chosen);
    const next = STEPS[event.key] ? (at + STEPS[event.key] + names.length) % names.length : ENDS[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(names[next]);
  });
  return held;
}

// The members of a set, the worst first.
function members(test, chosen) {
  const probes = test.probes;
  const item = (probe) => {
    const values = list(test, "verdicts").filter((v) => v.probe === probe.probe).map((v) => `${v.name} ${v.shown}`);
    return make("li", {}, make("a", { class: "member", href: `#open=${probe.id}`, "aria-current": probe === chosen ? "true" : null },
      text("bdi", probe.prompt.slice(0, 200), { lang: probe.lang }), make("span", { class: "limit" }, values.join(", "))));
  };
  const left = test.left ? `; ${test.left.toLocaleString("en")} more are not in this file` : "";
  const first = Math.max(MEMBERS, probes.indexOf(chosen) + 1);
  const items = make("ol", { class: "members" }, ...probes.slice(0, first).map(item));
  const held = make("div", {}, make("h3", {}, `${probes.length} probes, the worst first${left}`), items);
  if (probes.length > first) {
    const rest = make("button", { type: "button", class: "rest" }, `Show the other ${probes.length - first}`);
    rest.addEventListener("click", () => {
      items.append(...probes.slice(first).map(item));
      rest.remove();
    });
    held.append(rest);
  }
  return held;
}

// Back to the list, and on to the next test.
function walk(test) {
  const at = found.indexOf(test);
  const step = (by, name, sign) => {
    const button = make("button", { type: "button", id: `walk-${by}`, "aria-label": name, disabled: found[at + by] && at >= 0 ? null : "" }, sign);
    button.addEventListener("click", () => walkTo(found[at + by]));
    return button;
  };
  const back = make("button", { type: "button", id: "close" }, make("span", { "aria-hidden": "true" }, narrow.matches ? "← " : "× "), narrow.matches ? "All tests" : "Close");
  back.addEventListener("click", leave);
  return make("div", { class: "walk" }, back,
    make("span", { class: "limit" }, at < 0 ? "" : `${(at + 1).toLocaleString("en")} of ${found.length.toLocaleString("en")}`),
    step(-1, "Previous test", "↑"), step(1, "Next test", "↓"));
}

function walkTo(test) {
  if (!test) return;
  const inList = byId("rows").contains(document.activeElement);
  const held = rowOf(test);
  go({ open: test.id, tab: state.get("tab") }, { replace: true });
  held.scrollIntoView({ block: "nearest" });
  if (inList) held.firstChild.focus({ preventScroll: true });
}

function leave() {
  const place = places.get(state.get("open"));
  if (!place) return;
  const row = byId(place.test.id);
  steady(row, () => go({ open: "", tab: "" }));
  row?.firstChild.focus({ preventScroll: true });
}

// What becomes narrower or wider keeps the place of an element on the screen.
function steady(element, change) {
  const before = element?.getBoundingClientRect().top;
  change();
  if (element?.isConnected && !narrow.matches) {
    scrollBy({ top: element.getBoundingClientRect().top - before, behavior: "instant" });
  }
}
