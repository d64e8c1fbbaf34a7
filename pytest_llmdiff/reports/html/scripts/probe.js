// A probe: its prompt, both replies, and what explains them.

const MEMBERS = 20;

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
