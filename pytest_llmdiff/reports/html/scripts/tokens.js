// A reply token by token: coloured by what the reader chooses, with the likely tokens at each.

const TOKEN_STEPS = 7; // of a scale, above what counts as nothing
const TOKENS_PLACE = "llmdiff-tokens";
const lessOf = (a, b) => (a === null || b === null ? null : a - b);
const digits = (value) => String(Number(value.toPrecision(2)));
const chance = (p) => (p === null || p === undefined ? "?" : p > 0 && p < 0.005 ? "< 0.005" : p.toFixed(2));

// `of` is higher the stronger the mark, and up to `least` there is none; `tell` puts it into words.
const COLOURINGS = {
  kl: { name: () => "KL divergence", of: (token) => token[1], least: 0.01, tell: (x) => `${digits(x)} nats`,
    hint: ([a, b]) => `The stronger the colour, the further apart ${a} and ${b} are at that token.` },
  base: { name: ([a]) => `probability under ${a}`, of: (token) => lessOf(0, token[2]), least: 0.05, tell: (x) => digits(Math.exp(-x)),
    hint: ([a]) => `The stronger the colour, the less likely the token is under ${a}.` },
  tuned: { name: ([, b]) => `probability under ${b}`, of: (token) => lessOf(0, token[3]), least: 0.05, tell: (x) => digits(Math.exp(-x)),
    hint: ([, b]) => `The stronger the colour, the less likely the token is under ${b}.` },
  ratio: { name: ([a, b]) => `log ratio of ${b} to ${a}`, of: (token) => lessOf(token[3], token[2]), least: 0.1, tell: (x) => `${digits(x)} nats`,
    hint: ([a, b]) => `Blue: likelier under ${a}. Orange: likelier under ${b}.` },
};

let colouring = "kl";
try {
  if (localStorage.getItem(TOKENS_PLACE) in COLOURINGS) colouring = localStorage.getItem(TOKENS_PLACE);
} catch { /* not allowed in a page opened from a disk */ }

// The scale of the whole run, so that colours mean the same everywhere: as many tokens in each step.
const scales = new Map();
function scaleOf(name) {
  if (!scales.has(name)) {
    const { of, least } = COLOURINGS[name];
    const values = tests.flatMap((test) => list(test, "probes")).flatMap((found) => list(found, "folds"))
      .filter((block) => block.form === "tokens").flatMap((block) => block.tokens.map(of)).filter((x) => x !== null);
    const marked = values.map(Math.abs).filter((x, place) => (name === "ratio" ? x : values[place]) > least).sort((a, b) => a - b);
    const steps = name === "ratio" ? 3 : TOKEN_STEPS;
    const ends = Array.from({ length: steps - 1 }, (_, n) => marked[Math.floor(((n + 1) * marked.length) / steps)]);
    scales.set(name, { ends: [...new Set([least, ...ends.filter((end) => end > least)])], count: values.length });
  }
  return scales.get(name);
}
const stepOf = (name, value) => scaleOf(name).ends.filter((end) => value > end).length;

function markToken(element, name, value) {
  delete element.dataset.step;
  delete element.dataset.lean;
  if (value === null) return;
  // However few steps there are, the last one is the strongest.
  const share = stepOf(name, Math.abs(value)) / scaleOf(name).ends.length;
  if (name === "ratio") element.dataset.lean = Math.sign(value) * Math.round(3 * share);
  else element.dataset.step = value > 0 ? Math.round(TOKEN_STEPS * share) : 0;
}

function tokenLegend(names) {
  const { ends, count } = scaleOf(colouring);
  const { tell, hint } = COLOURINGS[colouring];
  const key = (value, shown) => {
    const found = make("li", {}, shown);
    markToken(found, colouring, value);
    return found;
  };
  const beyond = (end) => end * 1.0001;
  const falls = colouring === "base" || colouring === "tuned";
  const keys = [key(0, `${falls ? "from" : "up to"} ${tell(ends[0])}`),
    ...ends.map((end, n) => key(beyond(end), n + 1 < ends.length ? `${falls ? "from" : "to"} ${tell(ends[n + 1])}` : `${falls ? "less" : "more"}`))];
  if (colouring === "ratio") {
    keys.unshift(...ends.map((end) => key(-beyond(end), `from −${tell(end)}`)).reverse());
  }
  return [
    make("p", { class: "hint" }, `${hint(names)} The colours split the run's ${count.toLocaleString("en")} tokens into groups of the same size; where there is nothing to tell, there is none.`),
    make("ul", { class: "scale", "aria-label": "Colours" }, ...keys),
  ];
}

function likelyTokens(token, names) {
  const [said, kl, base, tuned, found] = token;
  const p = (logprob) => (logprob === null ? null : Math.exp(logprob));
  const bar = (side, value) => {
    const drawn = make("span", { class: `chance ${side}` });
    drawn.style.inlineSize = `${100 * (value || 0)}%`;
    return drawn;
  };
  const row = (name, first, second) => make("tr", {},
    text("th", name, { scope: "row" }), make("td", { class: "n" }, chance(first)), make("td", { class: "n" }, chance(second)),
    make("td", { class: "bars", "aria-hidden": "true" }, bar("base", first), bar("tuned", second)));
  const own = [said.trim() ? said : JSON.stringify(said), p(base), p(tuned)];
  const rows = found.some(([name]) => name === said) ? found : [own, ...found];
  return [
    make("p", {}, make("strong", { dir: "auto" }, own[0]), ` KL ${kl === null ? "?" : digits(kl)} nats; probability ${names[0]} ${chance(own[1])}, ${names[1]} ${chance(own[2])}`),
    make("table", { class: "candidates" },
      make("caption", {}, "Likely tokens here"),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "token"), make("th", { scope: "col", class: "of-base" }, names[0]),
        make("th", { scope: "col", class: "of-tuned" }, names[1]), make("td", { "aria-hidden": "true" }))),
      make("tbody", {}, ...rows.map((each) => row(...each)))),
  ];
}

const seenBlocks = new WeakMap();
function paintTokens(held) {
  const block = seenBlocks.get(held);
  held.querySelector("select").value = colouring;
  held.querySelector(".told").replaceChildren(...tokenLegend(block.names));
  held.querySelectorAll("[role=option]").forEach((element, n) => markToken(element, colouring, COLOURINGS[colouring].of(block.tokens[n])));
}

// The token on the line above or below that is nearest.
function onOtherLine(elements, at, by) {
  const from = elements[at].getBoundingClientRect();
  const on = (n) => elements[n].getBoundingClientRect();
  let n = at;
  while (elements[n + by] && Math.abs(on(n).top - from.top) < from.height / 2) n += by;
  const top = on(n).top;
  while (elements[n + by] && Math.abs(on(n + by).top - top) < from.height / 2
    && Math.abs(on(n + by).left - from.left) <= Math.abs(on(n).left - from.left)) n += by;
  return n;
}

FORMS.tokens = (block) => {
  const { names } = block;
  const select = make("select", {}, ...Object.entries(COLOURINGS).map(([value, { name }]) => make("option", { value }, name(names))));
  const elements = block.tokens.map(([piece]) => make("span", { role: "option", tabindex: "-1", "aria-selected": "false",
    "aria-label": piece ? (piece.trim() ? null : JSON.stringify(piece)) : "part of a character" }, piece));
  const pieces = make("div", { class: "tokens", dir: "auto", role: "listbox", "aria-label": block.title, "aria-orientation": "horizontal" }, ...elements);
  const panel = make("div", { class: "nexts", "aria-live": "polite" });
  let chosen = 0;
  const show = (n) => panel.replaceChildren(...likelyTokens(block.tokens[n], names));
  const choose = (n, focus) => {
    elements[chosen].tabIndex = -1;
    elements[chosen].setAttribute("aria-selected", "false");
    chosen = n;
    elements[n].tabIndex = 0;
    elements[n].setAttribute("aria-selected", "true");
    show(n);
    if (focus) elements[n].focus();
  };
  const under = (event) => elements.indexOf(event.target);
  pieces.addEventListener("click", (event) => { if (under(event) >= 0) choose(under(event), true); });
  pieces.addEventListener("pointerover", (event) => { if (under(event) >= 0 && event.pointerType === "mouse") show(under(event)); });
  pieces.addEventListener("pointerleave", () => show(chosen));
  pieces.addEventListener("keydown", (event) => {
    const last = elements.length - 1;
    const next = { ArrowRight: () => chosen + 1, ArrowLeft: () => chosen - 1, Home: () => 0, End: () => last,
      ArrowDown: () => onOtherLine(elements, chosen, 1), ArrowUp: () => onOtherLine(elements, chosen, -1) }[event.key];
    if (!next || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    choose(Math.min(Math.max(next(), 0), last), true);
  });
  const held = make("div", { class: "seen" },
    make("label", { class: "chosen" }, "Colour by ", select), make("div", { class: "told" }), pieces, panel);
  seenBlocks.set(held, block);
  select.addEventListener("change", () => {
    colouring = select.value;
    try { localStorage.setItem(TOKENS_PLACE, colouring); } catch { /* as above */ }
    document.querySelectorAll(".seen").forEach(paintTokens);
  });
  choose(block.at !== null && block.at < elements.length ? block.at : 0);
  paintTokens(held);
  return [held];
};
