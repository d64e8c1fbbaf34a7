Object.keys(FILTERS).forEach(options);
let waiting = 0;
byId("q").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => go({ q: byId("q").value }, { replace: true }), 120);
});
byId("filters").addEventListener("change", (event) => {
  if (event.target.matches("select")) go({ [event.target.id]: event.target.value });
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("clear").addEventListener("click", clear);
byId("more").addEventListener("click", () => extend());
byId("keys").addEventListener("click", () => byId("help").showModal());
// The panel begins below the head, whose height depends on what is in it.
new ResizeObserver(() => {
  const height = byId("head").offsetHeight || document.querySelector(".bar").offsetHeight; // on phones the bar alone
  document.documentElement.style.setProperty("--head", `${height}px`);
}).observe(document.querySelector(".bar"));
addEventListener("hashchange", follow);
addEventListener("popstate", follow);
byId("explorer").hidden = false;
document.querySelector(".tools").hidden = false;
startMatrix();
drawCharts();
show(stated() || new URLSearchParams());
const opened = places.get(state.get("open"));
if (opened && found.includes(opened.test)) rowOf(opened.test).scrollIntoView({ block: "center" });
else if (state.size) byId("tests").scrollIntoView();
detail();
