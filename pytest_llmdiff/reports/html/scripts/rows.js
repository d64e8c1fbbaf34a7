// The tests, a row each.

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
