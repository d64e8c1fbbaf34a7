// Light and dark.

const THEMES = ["auto", "light", "dark"];
function theme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  byId("theme").textContent = `Theme: ${name}`;
  try { localStorage.setItem("llmdiff-theme", name); } catch { /* not allowed in a page opened from a disk */ }
}
byId("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme || "auto";
  theme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
try {
  const kept = localStorage.getItem("llmdiff-theme");
  if (THEMES.includes(kept)) theme(kept);
} catch { /* as above */ }
