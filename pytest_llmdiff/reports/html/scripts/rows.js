// The tests, a row each, and on paper with all replies.

let found = [];
let shown = 0; // of those that are found

function row(test) {
  const main = test.main === undefined ? null : test.verdicts[test.main];
  const name = test.test.split("::").slice(1).join("::").split("[")[0] || test.test;
  const where = test.model ? `${test.model}: ${name}` : name;
  const current = places.get(state.get("open"))?.test === test ? "true" : null;
  return make("li", { class: "row", id: test.id }, make("a", { href: `#open=${test.id}`, "aria-current": current },
    badge(test.kind),
    text("bdi", test.title, { class: "title", lang: list(test, "probes")[0]?.lang }),
    make("span", { class: "main" }, ...(main ? [
      `${main.name} `, make("strong", { class: css(main.outcome) }, main.shown),
      make("span", { class: "limit" }, main.limit ? ` limit ${main.limit}` : "")] : [])),
    test.reason ? text("span", test.reason, { class: "reason" }) : null,
    make("span", { class: "where mono", title: test.test }, where),
  ));
}

function extend(by = CHUNK) {
  byId("rows").append(...found.slice(shown, shown + by).map(row));
  shown = Math.min(found.length, shown + by);
  byId("more").parentElement.hidden = shown >= found.length;
  byId("more").textContent = `Show more (${(found.length - shown).toLocaleString("en")} left)`;
}

// The row of a test, once there is one.
function rowOf(test) {
  const place = found.indexOf(test);
  if (place >= shown) extend(place + 1 - shown);
  return byId(test.id);
}

function onPaper(test) {
  return make("article", {},
    make("h3", {}, badge(test.kind), " ", text("bdi", test.title)),
    make("p", { class: "mono" }, test.test),
    test.reason ? text("p", test.reason, { class: "reason" }) : null,
    test.verdicts ? verdicts(test) : null,
    ...list(test, "probes").map((probe) => replies(probe, true)),
    make("pre", {}, command(test)));
}

addEventListener("beforeprint", () => byId("paper").replaceChildren(...found.map(onPaper)));
addEventListener("afterprint", () => byId("paper").replaceChildren());
