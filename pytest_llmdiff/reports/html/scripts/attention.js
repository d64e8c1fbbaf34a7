// What the models attend to: all heads, and the tokens that a head attends to.

FORMS.heads = (block) => {
  const held = make("div", { class: "heads" }, ...block.about.map((line) => make("p", { class: "hint" }, line)));
  const map = make("div", { class: "head" });
  const choose = (layer, head) => map.replaceChildren(...headMaps(block, layer, head));
  const [first] = block.maps;
  if (block.grid) held.append(...headGrid(block, first && [first.layer, first.head], choose));
  held.append(map);
  if (first) choose(first.layer, first.head);
  return [held];
};

// Cells in columns and rows, one of which is chosen by mouse, touch or arrow keys.
// `panels` have a title, a scale, and the value of each cell.
function gridPanels({ label, columns, rows, size, left, top, panels, axes, chosen, tell }) {
  const [width, height] = [left + columns.length * size + 2, top + rows.length * size + 2];
  const at = { column: chosen ? chosen[0] : 0, row: chosen ? chosen[1] : 0 };
  const said = make("p", { class: "said", role: "status" });
  const drawn = panels.map((panel) => canvas(width, height, `${panel.title}; the table below has the numbers`, (on, ink) => {
    on.font = "11px system-ui, sans-serif";
    on.fillStyle = ink.soft;
    on.textBaseline = "middle";
    axes(on, ink);
    panel.values.forEach((row, y) => row.forEach((value, x) => {
      on.fillStyle = value === null || value === undefined ? ink.paper : panel.scale.colour(value);
      on.fillRect(left + x * size, top + y * size, size - 1, size - 1);
    }));
    // Dark within light, so that it shows on every colour.
    [[ink.paper, 3], [ink.ink, 1.5]].forEach(([colour, thick]) => {
      on.strokeStyle = colour;
      on.lineWidth = thick;
      on.strokeRect(left + at.column * size - 0.5, top + at.row * size - 0.5, size, size);
    });
  }));
  const move = (column, row, decided) => {
    at.column = Math.min(Math.max(column, 0), columns.length - 1);
    at.row = Math.min(Math.max(row, 0), rows.length - 1);
    drawn.forEach((each) => each.again());
    said.textContent = tell(at.column, at.row, decided);
  };
  const place = (event) => {
    const box = event.target.getBoundingClientRect();
    return [event.clientX - box.left - left, event.clientY - box.top - top].map((way) => Math.floor(way / size));
  };
  for (const each of drawn) {
    each.addEventListener("click", (event) => move(...place(event), true));
    each.addEventListener("pointermove", (event) => {
      const [column, row] = place(event);
      if (column >= 0 && row >= 0 && column < columns.length && row < rows.length) said.textContent = tell(column, row, false);
    });
    each.addEventListener("pointerleave", () => { said.textContent = tell(at.column, at.row, false); });
  }
  const held = make("div", { class: "panels", tabindex: "0", role: "group", "aria-label": `${label}. The arrow keys choose a cell.` },
    ...panels.map((panel, index) => make("div", { class: "panel" }, make("h4", { class: panel.of }, panel.title), drawn[index],
      colourKey(panel.scale, panel.unit, panel.open))));
  held.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    move(at.column + by[0], at.row + by[1], true);
  });
  said.textContent = tell(at.column, at.row, false);
  return [held, said];
}

// The numbers behind a drawing, made when they are asked for.
function asTable(title, corner, columns, rows, cell) {
  const held = make("details", { class: "fold" }, make("summary", {}, title));
  held.addEventListener("toggle", () => {
    if (!held.open || held.children.length > 1) return;
    held.append(scroll(title, make("table", { class: "numbers" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, corner), ...columns.map((name) => text("th", name, { scope: "col" })))),
      make("tbody", {}, ...rows.map((name, y) => make("tr", {}, text("th", name, { scope: "row" }),
        ...columns.map((_, x) => make("td", { class: "n" }, cell(x, y)))))))));
  });
  return held;
}

const furthest = (values, least = 1e-9) => Math.max(least, ...values.flat().map((value) => Math.abs(value || 0)));
const minus = (ours, theirs) => ours.map((row, y) => row.map((value, x) => value - theirs[y][x]));
const turned = (rows) => rows[0].map((_, at) => rows.map((row) => row[at]));
const precise = (value) => (value === null || value === undefined ? "unknown" : String(Number(value.toPrecision(3))));

// All heads: a column a layer, a row a head.
function headGrid(block, first, choose) {
  const { grid, names } = block;
  const [layers, count] = [grid.layers, grid.moved[0].length];
  const moved = turned(grid.moved);
  const [base, tuned] = grid.spread ? grid.spread.map(turned) : [];
  const panels = [{ title: "How far each head moved", values: moved, scale: amounts(furthest(moved)), unit: "bits (Jensen–Shannon divergence)" }];
  if (base) {
    const [spread, change] = [amounts(furthest([...base, ...tuned])), minus(tuned, base)];
    const unit = "bits (entropy): 0 for one token, 3 for eight tokens alike";
    panels.push(
      { title: `Over how many tokens ${names[0]} spreads`, of: "base", values: base, scale: spread, unit },
      { title: `Over how many tokens ${names[1]} spreads`, of: "tuned", values: tuned, scale: spread, unit },
      { title: `${names[1]} less ${names[0]}`, values: change, scale: differences(furthest(change)), unit: `bits: blue where ${names[0]} spreads wider, orange where ${names[1]} does` });
  }
  const size = Math.min(16, Math.max(6, Math.floor(440 / layers.length)), Math.max(6, Math.floor(320 / count)));
  const heads = [...Array(count).keys()];
  const tell = (column, row, decided) => {
    if (decided) choose(layers[column], row);
    const spread = base ? `; spread of ${names[0]} ${precise(base[row][column])}, of ${names[1]} ${precise(tuned[row][column])} bits` : "";
    return `Layer ${layers[column]}, head ${row}: moved ${precise(moved[row][column])} bits${spread}`;
  };
  const axes = (on) => {
    on.textAlign = "right";
    const step = Math.ceil(14 / size);
    heads.forEach((head) => { if (head % step === 0) on.fillText(String(head), 32, 18 + (head + 0.5) * size); });
    on.textAlign = "center";
    const apart = Math.ceil(22 / size);
    layers.forEach((layer, x) => { if (x % apart === 0) on.fillText(String(layer), 38 + (x + 0.5) * size, 9); });
  };
  return [
    make("h3", {}, "All heads: a column for each layer, a row for each head"),
    ...gridPanels({
      label: "All heads by layer and head", columns: layers, rows: heads, size, left: 38, top: 18, panels, axes, tell,
      chosen: first && [layers.indexOf(first[0]), first[1]],
    }),
    asTable("All heads as a table", "head", layers.map((layer) => `layer ${layer}`), heads.map(String), (x, y) => precise(moved[y][x])),
  ];
}

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
const unpacked = (row) => Array.from({ length: row.length / 2 },
  (_, at) => (64 * ALPHABET.indexOf(row[2 * at]) + ALPHABET.indexOf(row[2 * at + 1])) / 4095);

// The tokens that one head attends to. Template tokens are one column, until they are unfolded.
function headMaps(block, layer, head) {
  const found = block.maps.find((map) => map.layer === layer && map.head === head);
  const title = make("h3", {}, `Layer ${layer}, head ${head}: which tokens it attends to`);
  if (!found) {
    return [title, make("p", {}, "This file has the maps of the heads that moved most: ",
      block.maps.map((map) => `layer ${map.layer}, head ${map.head}`).join("; ") || "none",
      ". For this one: ", make("code", {}, `attention_map(comparison, layer=${layer}, head=${head}).save("head.html")`))];
  }
  const view = make("div", {});
  const { asked } = block.tokens;
  const whole = make("input", { type: "checkbox" });
  const show = () => view.replaceChildren(...tokenMaps(block, found, asked && !whole.checked));
  whole.addEventListener("change", show);
  show();
  return [title, asked ? make("p", {}, make("label", {}, whole, " Show the tokens of the template and of the reply too")) : null,
    view].filter(Boolean);
}

function tokenMaps(block, found, folded) {
  const { keys, reply, prompt, asked } = block.tokens;
  const names = block.names;
  const one = (at) => ({ name: keys[at], from: at, to: at + 1, sum: false });
  const groups = folded ? [
    ...keys.slice(...asked).map((_, at) => one(asked[0] + at)),
    { name: "before it", from: 0, to: asked[0], sum: true },
    { name: "after it", from: asked[1], to: prompt, sum: true },
    { name: "the reply", from: prompt, to: keys.length, sum: true },
  ].filter((group) => group.to > group.from) : keys.map((_, at) => one(at));
  const folds = (row) => groups.map((group) => row.slice(group.from, group.to).reduce((sum, share) => sum + share, 0));
  const [base, tuned] = [found.base, found.tuned].map((rows) => rows.map((row) => folds(unpacked(row))));
  const change = minus(tuned, base);
  // The first token takes what a head does not use: it would leave the others without a colour.
  const counts = (rows) => rows.map((row) => row.filter((_, at) => !groups[at].sum && (groups[at].from > 0 || groups.length === 1)));
  const shares = amounts(furthest([...counts(base), ...counts(tuned)], 0.01));
  const open = furthest([...base, ...tuned]) > shares.most;
  const changes = differences(furthest(counts(change), 0.01));
  const [size, left] = [16, 92];
  const top = 88;
  const mark = (token) => token.replaceAll(" ", "·").slice(0, 14) || "…";
  const axes = (on, ink) => {
    on.fillStyle = ink.ink;
    on.textAlign = "right";
    reply.forEach((token, y) => on.fillText(mark(token), left - 6, top + (y + 0.5) * size, left - 8));
    on.textAlign = "left";
    groups.forEach((group, x) => {
      on.save();
      on.translate(left + (x + 0.5) * size, top - 5);
      on.rotate(-Math.PI / 2);
      on.font = group.sum ? "italic 11px system-ui, sans-serif" : "11px system-ui, sans-serif";
      on.fillStyle = group.sum ? ink.soft : ink.ink;
      on.fillText(group.sum ? group.name : mark(group.name), 0, 0, top - 8);
      on.restore();
    });
  };
  const told = (x, y) => `${precise(base[y][x])} → ${precise(tuned[y][x])}`;
  const naming = (x) => (groups[x].sum ? `all of ${groups[x].name}` : `“${groups[x].name}”`);
  const tell = (x, y) => `Before writing “${reply[y]}”, share of ${naming(x)}: ${names[0]} ${precise(base[y][x])}, ${names[1]} ${precise(tuned[y][x])}`;
  const unit = "share of the head's output";
  const panels = [
    { title: names[0], of: "base", values: base, scale: shares, unit, open },
    { title: names[1], of: "tuned", values: tuned, scale: shares, unit, open },
    { title: `${names[1]} less ${names[0]}`, values: change, scale: changes, unit: `blue: more under ${names[0]}; orange: more under ${names[1]}`, open: furthest(change) > changes.most },
  ];
  return [
    make("p", { class: "hint" }, `A row for each token of ${names[0]}'s reply, which both models read; a column for each token that it can attend to${folded ? ": those of the user's text, and sums of what the template puts before and after it and of the reply so far" : ""}.`),
    ...gridPanels({ label: "Tokens", columns: groups, rows: reply, size, left, top, panels, axes, tell, chosen: null }),
    asTable(`This map as a table: ${names[0]} → ${names[1]}`, "token of the reply", groups.map((group) => group.name), reply, told),
  ];
}
