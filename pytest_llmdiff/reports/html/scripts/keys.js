// The keyboard.

function step(by) {
  const rows = [...document.querySelectorAll(".row > summary")];
  const at = rows.indexOf(document.activeElement?.closest(".row")?.querySelector("summary"));
  let next = at === -1 ? (by > 0 ? 0 : rows.length - 1) : at + by;
  if (next >= rows.length && shown < found.length) {
    extend();
    return step(by);
  }
  next = Math.min(Math.max(next, 0), rows.length - 1);
  rows[next]?.focus();
  rows[next]?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && typing) {
    event.target.blur();
  } else if (typing) {
    return;
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  } else if (event.key === "/") {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "?") {
    byId("help").showModal();
  }
});
