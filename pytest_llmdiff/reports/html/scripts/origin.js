// Where a change comes from: a bar for each example or part.

FORMS.bars = (block) => {
  const most = Math.max(1e-9, ...block.rows.map(([value]) => Math.abs(value || 0)));
  const bar = (value) => {
    const made = make("div", { class: value < 0 ? "push less" : "push" });
    made.style.setProperty("--length", `${(100 * Math.abs(value || 0)) / most}%`);
    return make("td", { class: "n" }, made, make("span", {}, value === null ? "–" : brief(value).replace("-", "−")));
  };
  return [
    make("p", { class: "hint" }, block.about),
    scroll(block.title, make("table", { class: "origins" },
      make("thead", {}, make("tr", {}, ...block.head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...block.rows.map(([value, ...texts]) => make("tr", {}, bar(value), ...texts.map((each) => text("td", each))))))),
  ];
};
