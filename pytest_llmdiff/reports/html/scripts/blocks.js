// Blocks: what explains a test or a probe. A form draws the blocks that name it.

const FORMS = {
  lines: (block) => [make("ul", {}, ...block.lines.map((line) => text("li", line)))],
  table: (block) => {
    const head = block.head.some((name) => name)
      ? make("thead", {}, make("tr", {}, ...block.head.map((name) => make("th", { scope: "col" }, name)))) : null;
    return [scroll(block.title, make("table", {}, head,
      make("tbody", {}, ...block.rows.map((cells) => make("tr", {}, ...cells.map((cell) => text("td", cell)))))))];
  },
};

function fold(block) {
  return make("details", { class: "fold" }, make("summary", {}, block.title), ...FORMS[block.form](block));
}
