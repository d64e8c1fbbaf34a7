// Colour scales, and drawings that follow the theme.

// Cividis (Nuñez, Anderton and Renslow 2018): lightness grows evenly, and it looks the same to the
// colour-blind. For amounts.
const AMOUNTS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
// For differences: blue where the base has more, orange where the tuned model has.
const DIFFERENCES = {
  light: ["#08306b", "#1f55a5", "#6f9fd8", "#bcd4ee", "#f7f6f3", "#fbd0a4", "#f09a4a", "#c05f10", "#7a3500"],
  dark: ["#b9d6ff", "#7fb0f5", "#4a7fc7", "#2d4f82", "#22262d", "#6b431a", "#b0691f", "#ee9d4c", "#ffd3a3"],
};
const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// The colour at a place of 0 to 1.
function between(colours, place) {
  const at = Math.min(Math.max(place, 0), 1) * (colours.length - 1);
  const below = Math.min(Math.floor(at), colours.length - 2);
  const [from, to] = [colours[below], colours[below + 1]].map(channels);
  return `rgb(${from.map((value, index) => Math.round(value + (to[index] - value) * (at - below))).join(" ")})`;
}

// A scale says which values it shows, and draws each: of amounts from 0 to `most`, or of
// differences from -`most` to `most`.
const amounts = (most) => ({ low: 0, most, colour: (value) => between(AMOUNTS, value / most) });
const differences = (most) => ({
  low: -most, most, colour: (value) => between(DIFFERENCES[inks().dark ? "dark" : "light"], 0.5 + value / most / 2),
});

function inks() {
  const found = getComputedStyle(document.documentElement);
  const [paper, ink, soft, line] = ["--card", "--ink", "--soft", "--line"].map((name) => found.getPropertyValue(name).trim());
  return { paper, ink, soft, line, dark: found.colorScheme === "dark" && !matchMedia("print").matches };
}

const drawings = new Set();
// A canvas of a size in CSS pixels, drawn again when the theme changes and for paper.
function canvas(width, height, label, draw) {
  const made = make("canvas", { role: "img", "aria-label": label });
  const sharp = Math.min(2, Math.max(1, devicePixelRatio || 1));
  made.width = width * sharp;
  made.height = height * sharp;
  made.style.inlineSize = `${width}px`;
  made.style.blockSize = `${height}px`;
  const again = () => {
    const on = made.getContext("2d");
    on.setTransform(sharp, 0, 0, sharp, 0, 0);
    on.clearRect(0, 0, width, height);
    on.direction = "ltr";
    draw(on, inks());
  };
  drawings.add(new WeakRef(made));
  made.again = again;
  again();
  return made;
}
function redraw() {
  for (const held of drawings) {
    const drawn = held.deref();
    if (drawn) drawn.again();
    else drawings.delete(held);
  }
}
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", redraw);

const brief = (value) => String(Number(value.toPrecision(2)));
// The scale as a strip with its ends, and what they mean.
function colourKey(scale, unit, open) {
  const width = 160;
  const strip = canvas(width, 10, `colours from ${brief(scale.low)} to ${brief(scale.most)} ${unit}`, (on) => {
    for (let x = 0; x < width; x += 1) {
      on.fillStyle = scale.colour(scale.low + ((x + 0.5) / width) * (scale.most - scale.low));
      on.fillRect(x, 0, 1, 10);
    }
  });
  const signed = (value) => (scale.low < 0 && value > 0 ? "+" : "") + brief(value);
  return make("div", { class: "ramp" }, strip,
    make("p", { class: "ends" }, make("span", {}, signed(scale.low)), scale.low < 0 ? make("span", {}, "0") : null,
      make("span", {}, `${signed(scale.most)}${open ? " or more" : ""}`)),
    make("p", { class: "hint" }, unit));
}
