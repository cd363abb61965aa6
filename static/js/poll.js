// Keeps a page fresh that no event tells of: asks htmx for it every data-interval milliseconds while somebody looks.
// Builds no HTML.

const root = document.getElementById("poll");

function ask() {
  if (!document.hidden) root.dispatchEvent(new CustomEvent("swarm:changed"));
}

root.addEventListener("htmx:afterRequest", (event) => {
  document.getElementById("connection").hidden = event.detail.successful;
});
document.addEventListener("visibilitychange", ask);
setInterval(ask, Number(root.dataset.interval));
