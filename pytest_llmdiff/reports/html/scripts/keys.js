// The keyboard.

function step(by) {
  const open = places.get(state.get("open"));
  if (open) {
    const at = found.indexOf(open.test);
    walkTo(at === -1 ? found[0] : found[at + by]);
    return;
  }
  const rows = [...document.querySelectorAll(".row > a")];
  const at = rows.indexOf(document.activeElement);
  let next = at === -1 ? (by > 0 ? 0 : rows.length - 1) : at + by;
  if (next >= rows.length && shown < found.length) {
    extend();
    step(by);
    return;
  }
  next = Math.min(Math.max(next, 0), rows.length - 1);
  rows[next]?.focus({ preventScroll: true });
  rows[next]?.scrollIntoView({ block: "nearest" });
}

const STEPS = { j: 1, k: -1 };
const ARROWS = { ArrowDown: 1, ArrowUp: -1 };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else leave();
  } else if (typing) {
    return;
  } else if (STEPS[event.key]) {
    step(STEPS[event.key]);
  } else if (ARROWS[event.key] && event.target.closest("#rows")) {
    event.preventDefault();
    step(ARROWS[event.key]);
  } else if (event.key === "/") {
    event.preventDefault();
    byId("q").focus();
  } else if (event.key === "?") {
    byId("help").showModal();
  }
});
