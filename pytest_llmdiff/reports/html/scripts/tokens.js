// A reply token by token.

FORMS.tokens = (block) => {
  const [first, second] = block.names;
  const said = (kl, p, q) => `KL ${kl} nats; probability ${first} ${p}, ${second} ${q}`;
  return [
    make("p", { class: "hint" }, `The stronger the mark, the further apart ${first} and ${second} are at that token. Point at a token to see its numbers.`),
    make("p", { class: "tokens", dir: "auto", tabindex: "0" },
      ...block.tokens.map(([piece, heat, ...numbers]) => make("span", { "data-heat": heat, title: said(...numbers) }, piece))),
  ];
};
