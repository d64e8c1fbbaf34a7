Object.keys(FILTERS).forEach(options);
let waiting = 0;
byId("search").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(apply, 120);
});
byId("filters").addEventListener("change", apply);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("clear").addEventListener("click", clear);
byId("more").addEventListener("click", () => extend());
addEventListener("beforeprint", () => {
  extend(found.length);
  for (const rest of document.querySelectorAll(".rest")) rest.click();
});
byId("keys").addEventListener("click", () => byId("help").showModal());
addEventListener("hashchange", follow);
byId("explorer").hidden = false;
document.querySelector(".tools").hidden = false;
apply();
if (location.hash.length > 1) follow();
