// The attention of a head, token by token.

FORMS.map = (block) => {
  const { keys, rows } = block;
  return [
    make("p", { class: "hint" }, "One row for each token of the base's reply, one column for each token that it can attend to. The higher the digit, the larger the share of the attention."),
    scroll(block.title, make("table", { class: "map" },
      make("thead", {}, make("tr", {}, make("td"), ...keys.map((key) => make("th", { scope: "col" }, key)))),
      make("tbody", {}, ...rows.map(([token, heats]) => make("tr", {}, make("th", { scope: "row" }, token),
        ...[...heats].map((heat) => make("td", { "data-heat": heat }, heat === "0" ? "" : heat))))))),
  ];
};
