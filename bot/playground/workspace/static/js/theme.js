// Chooses dark or light before the first paint, so that the page never flashes the wrong one.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("mimawari.theme");
  } catch {
    // A browser that keeps nothing follows the system.
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
