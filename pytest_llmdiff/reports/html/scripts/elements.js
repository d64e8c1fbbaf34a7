// The run's data, and how elements are made.

const data = JSON.parse(document.getElementById("data").textContent);
const tests = data.tests;
const byId = (id) => document.getElementById(id);

// All text goes through here: nothing is ever parsed as HTML.
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const css = (name) => name.replaceAll(" ", "-");
const badge = (name) => make("span", { class: `badge ${css(name)}` }, name);
const text = (tag, value, properties) => make(tag, { dir: "auto", ...properties }, value);
const list = (test, name) => test[name] || [];
const command = (test) => `pytest ${test.target || test.test} ${data.options}`;
const side = (probe, sign) =>
  list(probe, "reply").filter((p) => p[0] === "=" || p[0] === sign).map((p) => p.slice(1)).join("");
const scroll = (label, child) => make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, child);
