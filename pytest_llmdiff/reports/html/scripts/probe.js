// A probe: its prompt and both replies. A test: its verdicts, and the command that repeats it.

// The prompt is left out where it is the heading.
function replies(probe, withPrompt) {
  const names = probe.sides || ["base", "tuned"];
  const lang = probe.lang;
  const asked = make("div", { class: "asked" });
  for (const turn of list(probe, "before")) asked.append(make("div", {}, make("h3", {}, turn.role), text("p", turn.text, { lang })));
  if (withPrompt) asked.append(make("div", {}, make("h3", {}, "prompt"), text("p", probe.prompt, { lang })));
  const pieces = list(probe, "reply");
  const unlike = !pieces.some((piece) => piece[0] === "=");
  const reply = (sign, tag) => {
    const shown = pieces.filter((piece) => piece[0] === "=" || piece[0] === sign)
      .map((piece) => (piece[0] === "=" ? piece.slice(1) : make(tag, {}, piece.slice(1))));
    if (!shown.length) shown.push(make("span", { class: "empty" }, "(empty)"));
    return make("p", { class: "reply", dir: "auto", lang, tabindex: "0" }, ...shown);
  };
  const column = (place, sign, tag) => make("div", {},
    make("h3", {}, names[place], make("span", { class: "about" }, list(probe, "about")[place] || "")),
    reply(sign, tag));
  return make("div", { class: "probe" }, asked.children.length ? asked : null,
    make("div", { class: unlike ? "pair unlike" : "pair" }, column(0, "-", "del"), column(1, "+", "ins")));
}

// What else was said: the expected answer, and reasoning.
function besides(probe) {
  const [base, tuned] = probe.sides || ["base", "tuned"];
  const [first, second] = list(probe, "reasoning");
  return [["The expected answer", probe.reference], ["The reply that was accepted", probe.accepted],
    [`Reasoning of ${base}`, first], [`Reasoning of ${tuned}`, second]]
    .filter(([, said]) => said)
    .map(([title, said]) => make("details", { class: "fold" }, make("summary", {}, title),
      text("pre", said, { lang: probe.lang, tabindex: "0" })));
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
