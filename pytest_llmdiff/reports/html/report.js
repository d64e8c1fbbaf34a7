"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const tests = data.tests;
  const byId = (id) => document.getElementById(id);
  const CHUNK = 50;
  const MEMBERS = 20;
  const ALL = "";

  // All text goes through here: nothing is ever parsed as HTML.
  function make(tag, properties, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }
  const css = (name) => name.replaceAll(" ", "-");
  const badge = (name) => make("span", { class: `badge ${css(name)}` }, name);
  const text = (tag, value, properties) => make(tag, { dir: "auto", ...properties }, value);
  const list = (test, name) => test[name] || [];
  const command = (test) => `pytest ${test.target || test.test} ${data.options}`;
  const side = (probe, sign) =>
    list(probe, "reply").filter((p) => p[0] === "=" || p[0] === sign).map((p) => p.slice(1)).join("");

  // Rows

  function row(test) {
    const found = make("details", { class: "row", id: test.id });
    const main = test.main === undefined ? null : test.verdicts[test.main];
    found.append(make("summary", {},
      badge(test.kind),
      text("bdi", test.title, { class: "title", lang: list(test, "probes")[0]?.lang }),
      make("span", { class: "main" }, ...(main ? [
        `${main.name} `, make("strong", { class: css(main.outcome) }, main.shown),
        make("span", { class: "limit" }, main.limit ? ` limit ${main.limit}` : "")] : [])),
      make("span", { class: "where mono" }, test.test),
    ));
    found.addEventListener("toggle", () => { if (found.open) fill(found, test); });
    return found;
  }

  function fill(found, test) {
    if (found.dataset.filled) return;
    found.dataset.filled = "yes";
    const inside = make("div", { class: "inside" });
    if (test.verdicts) inside.append(verdicts(test));
    const probes = list(test, "probes");
    if (probes.length === 1) inside.append(probe(probes[0]));
    else if (probes.length) inside.append(members(test, probes));
    for (const block of list(test, "folds")) inside.append(fold(block));
    if (test.message) {
      inside.append(make("details", { class: "fold", open: probes.length === 0 ? "" : null },
        make("summary", {}, "The failure as pytest shows it"), text("pre", test.message, { tabindex: "0" })));
    }
    inside.append(again(test));
    found.append(inside);
  }

  function verdicts(test) {
    const some = (name) => test.verdicts.some((verdict) => verdict[name] !== undefined);
    const number = (value) => (value === undefined ? "" : String(Number(value.toPrecision(3))));
    const columns = [
      ["verdict", (v) => badge(v.outcome)],
      ["measure", (v) => v.name],
      ["value", (v) => (v.value === undefined ? v.shown : `${v.shown} ${v.unit || ""}`)],
      ["limit", (v) => v.limit || "none"],
      ...(some("interval") ? [["interval", (v) => v.interval || ""]] : []),
      ...(some("balance") ? [["besides", (v) => v.balance || ""]] : []),
      ...(some("noise") ? [["noise reaches", (v) => number(v.noise)]] : []),
      ...(some("p") ? [["p, adjusted for the run", (v) => (v.p === undefined ? "" : `${number(v.p)}, ${number(v.adjusted)}`)]] : []),
      ...(some("decides") ? [["questions to decide", (v) => v.decides === undefined ? "" : `about ${v.decides}`]] : []),
      ["limit from", (v) => v.source || ""],
    ];
    return scroll("Verdicts", make("table", {},
      make("thead", {}, make("tr", {}, ...columns.map(([name]) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...test.verdicts.map((verdict) =>
        make("tr", {}, ...columns.map(([, cell]) => make("td", {}, cell(verdict)))))),
    ));
  }

  const scroll = (label, child) => make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, child);

  function members(test, probes) {
    const held = make("div", { class: "probe" });
    const shown = (from, to) => probes.slice(from, to).map((found) => {
      const values = list(test, "verdicts").filter((v) => v.probe === found.probe).map((v) => `${v.name} ${v.shown}`);
      const member = make("details", { class: "member", id: found.id },
        make("summary", {}, text("bdi", found.prompt, { lang: found.lang }), values.length ? ` (${values.join(", ")})` : ""));
      member.addEventListener("toggle", () => {
        if (member.open && member.children.length === 1) member.append(probe(found));
      });
      return member;
    });
    const left = test.left ? `; ${test.left.toLocaleString("en")} more are not in this file` : "";
    held.append(make("h3", {}, `${probes.length} probes, the worst first${left}`));
    held.append(...shown(0, MEMBERS));
    if (probes.length > MEMBERS) {
      const rest = make("button", { type: "button", class: "rest" }, `Show the other ${probes.length - MEMBERS}`);
      rest.addEventListener("click", () => rest.replaceWith(...shown(MEMBERS, probes.length)));
      held.append(make("p", {}, rest));
    }
    return held;
  }

  function probe(found) {
    const names = found.sides || ["base", "tuned"];
    const lang = found.lang;
    const asked = make("div", { class: "asked" });
    for (const turn of list(found, "before")) asked.append(make("div", {}, make("h3", {}, turn.role), text("p", turn.text, { lang })));
    asked.append(make("div", {}, make("h3", {}, "prompt"), text("p", found.prompt, { lang })));
    const pieces = list(found, "reply");
    const unlike = !pieces.some((piece) => piece[0] === "=");
    const reply = (sign, tag) => {
      const shown = pieces.filter((piece) => piece[0] === "=" || piece[0] === sign)
        .map((piece) => (piece[0] === "=" ? piece.slice(1) : make(tag, {}, piece.slice(1))));
      if (!shown.length) shown.push(make("span", { class: "empty" }, "(empty)"));
      return make("p", { class: "reply", dir: "auto", lang, tabindex: "0" }, ...shown);
    };
    const column = (place, sign, tag) => make("div", {},
      make("h3", {}, names[place], make("span", { class: "about" }, list(found, "about")[place] || "")),
      reply(sign, tag));
    const held = make("div", { class: "probe" }, asked,
      make("div", { class: unlike ? "pair unlike" : "pair" }, column(0, "-", "del"), column(1, "+", "ins")));
    const more = [
      ["The expected answer", found.reference], ["The reply that was accepted", found.accepted],
      ...list(found, "reasoning").map((value, place) => [`Reasoning of ${names[place]}`, value]),
    ];
    for (const [title, value] of more) {
      if (value) held.append(make("details", { class: "fold" }, make("summary", {}, title), text("pre", value, { lang, tabindex: "0" })));
    }
    for (const block of list(found, "folds")) held.append(fold(block));
    held.append(make("p", { class: "hint" }, make("a", { href: `#${found.id}` }, "Link to this probe")));
    return held;
  }

  function fold(block) {
    const held = make("details", { class: "fold" }, make("summary", {}, block.title));
    if (block.tokens) {
      const [first, second] = block.names;
      const said = (kl, p, q) => `KL ${kl} nats; probability ${first} ${p}, ${second} ${q}`;
      held.append(
        make("p", { class: "hint" }, `The stronger the mark, the further apart ${first} and ${second} are at that token. Point at a token to see its numbers.`),
        make("p", { class: "tokens", dir: "auto", tabindex: "0" },
          ...block.tokens.map(([piece, heat, ...numbers]) => make("span", { "data-heat": heat, title: said(...numbers) }, piece))));
    }
    if (block.map) {
      const { keys, rows } = block.map;
      held.append(
        make("p", { class: "hint" }, "One row for each token of the base's reply, one column for each token that it can attend to. The higher the digit, the larger the share of the attention."),
        scroll(block.title, make("table", { class: "map" },
          make("thead", {}, make("tr", {}, make("td"), ...keys.map((key) => make("th", { scope: "col" }, key)))),
          make("tbody", {}, ...rows.map(([token, heats]) => make("tr", {}, make("th", { scope: "row" }, token),
            ...[...heats].map((heat) => make("td", { "data-heat": heat }, heat === "0" ? "" : heat))))))));
    }
    if (block.words) {
      held.append(
        make("p", { class: "hint" }, block.hint),
        make("p", { class: "tokens words", dir: "auto", tabindex: "0" },
          ...block.words.map(([piece, heat, less, score]) => score
            ? make("span", { "data-heat": heat, class: less ? "less" : null, title: score }, piece) : piece)));
    }
    if (block.lines) held.append(make("ul", {}, ...block.lines.map((line) => text("li", line))));
    if (block.rows) {
      const head = block.head.some((name) => name)
        ? make("thead", {}, make("tr", {}, ...block.head.map((name) => make("th", { scope: "col" }, name)))) : null;
      held.append(scroll(block.title, make("table", {}, head,
        make("tbody", {}, ...block.rows.map((cells) => make("tr", {}, ...cells.map((cell) => text("td", cell))))))));
    }
    return held;
  }

  function again(test) {
    const button = make("button", { type: "button" }, "Copy");
    const shown = make("pre", { tabindex: "0" }, command(test));
    button.setAttribute("aria-label", "Copy the command that runs this test again");
    button.addEventListener("click", async () => {
      let done = true;
      try {
        await navigator.clipboard.writeText(command(test));
      } catch {
        // A page opened from a disk may not use the clipboard API.
        getSelection().selectAllChildren(shown);
        done = document.execCommand("copy");
      }
      button.textContent = done ? "Copied" : "Select it";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    return make("div", {}, make("h3", {}, "Run it again"), make("div", { class: "again" }, shown, button));
  }

  // Filters

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

  // Keys

  function step(by) {
    const rows = [...document.querySelectorAll(".row > summary")];
    const at = rows.indexOf(document.activeElement?.closest(".row")?.querySelector("summary"));
    let next = at === -1 ? (by > 0 ? 0 : rows.length - 1) : at + by;
    if (next >= rows.length && shown < found.length) {
      extend();
      return step(by);
    }
    next = Math.min(Math.max(next, 0), rows.length - 1);
    rows[next]?.focus();
    rows[next]?.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "Escape" && typing) {
      event.target.blur();
    } else if (typing) {
      return;
    } else if (event.key === "j" || event.key === "k") {
      step(event.key === "j" ? 1 : -1);
    } else if (event.key === "/") {
      event.preventDefault();
      byId("search").focus();
    } else if (event.key === "?") {
      byId("help").showModal();
    }
  });

  // Light and dark

  const THEMES = ["auto", "light", "dark"];
  function theme(name) {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    byId("theme").textContent = `Theme: ${name}`;
    try { localStorage.setItem("llmdiff-theme", name); } catch { /* not allowed in a page opened from a disk */ }
  }
  byId("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || "auto";
    theme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
  });
  try {
    const kept = localStorage.getItem("llmdiff-theme");
    if (THEMES.includes(kept)) theme(kept);
  } catch { /* as above */ }

  Object.keys(FILTERS).forEach(options);
  let waiting = 0;
  byId("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 120);
  });
  byId("filters").addEventListener("change", apply);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", clear);
  byId("more").addEventListener("click", () => extend());
  addEventListener("beforeprint", () => {
    extend(found.length);
    for (const rest of document.querySelectorAll(".rest")) rest.click();
  });
  byId("keys").addEventListener("click", () => byId("help").showModal());
  addEventListener("hashchange", follow);
  byId("explorer").hidden = false;
  document.querySelector(".tools").hidden = false;
  apply();
  if (location.hash.length > 1) follow();
})();
