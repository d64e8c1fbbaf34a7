// How much each word of a prompt matters: a column for each word, rows for each method.

FORMS.words = (block) => {
  const [first, second] = block.names;
  const change = (row) => row.tuned.map((score, at) => (score === null || row.base[at] === null ? null : score - row.base[at]));
  const lines = block.rows.flatMap((row) => [
    [row.method, first, "base", row.base], [row.method, second, "tuned", row.tuned], [row.method, "change", null, change(row)],
  ]);
  // Methods differ in the size of their scores: each has a scale of its own.
  const most = new Map(block.rows.map((row) => [row.method, Math.max(1e-9, ...[...row.base, ...row.tuned].map((score) => Math.abs(score || 0)))]));
  const cell = (method, score) => {
    const made = make("td", { class: score === null ? "n" : score < 0 ? "n down" : "n up" },
      score === null ? "–" : (score > 0 ? "+" : "") + (Math.abs(score) < 0.005 ? "0" : brief(score)).replace("-", "−"));
    made.style.setProperty("--strength", `${Math.round(100 * Math.min(1, Math.abs(score || 0) / most.get(method)))}%`);
    return made;
  };
  return [
    make("p", { class: "hint" }, block.about),
    scroll(block.title, make("table", { class: "scores" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "method"), make("th", { scope: "col" }, "model"),
        ...block.words.map((word) => text("th", word, { scope: "col" })))),
      make("tbody", {}, ...lines.map(([method, model, of, scores], at) => make("tr", { class: at % 3 === 2 ? "last" : null },
        at % 3 ? null : make("th", { scope: "row", rowspan: "3" }, method), make("th", { scope: "row", class: of }, model),
        ...scores.map((score) => cell(method, score))))))),
    make("p", { class: "hint key-words" }, make("span", { class: "down" }, "less likely with the word"), " ",
      make("span", { class: "up" }, "likelier with it"), " The strongest score of a method has the full colour."),
    ...(block.agreement.length ? [
      make("h4", {}, "How far the methods agree: rank correlation (equal scores share a rank), and how many of the strongest words both name"),
      scroll("How far the methods agree", make("table", {},
        make("thead", {}, make("tr", {}, ...["methods", first, second, "change"].map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...block.agreement.map(([pair, ...values]) => make("tr", {}, make("th", { scope: "row" }, pair),
          ...values.map((value) => make("td", {}, value))))))),
    ] : []),
  ];
};
