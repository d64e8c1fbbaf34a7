// The words of a prompt, marked by how much they matter.

FORMS.words = (block) => [
  make("p", { class: "hint" }, block.hint),
  make("p", { class: "tokens words", dir: "auto", tabindex: "0" },
    ...block.words.map(([piece, heat, less, score]) => score
      ? make("span", { "data-heat": heat, class: less ? "less" : null, title: score }, piece) : piece)),
];
