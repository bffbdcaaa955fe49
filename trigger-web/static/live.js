// Live state of one callback. The page works without it: then it reloads itself.
"use strict";
(() => {
  const live = document.getElementById("live");
  if (!live || live.querySelector("[data-over]") || !window.EventSource) return;

  const source = new EventSource(live.dataset.events);
  source.addEventListener("picture", (event) => {
    const drawn = new DOMParser().parseFromString(event.data, "text/html");
    live.replaceChildren(...drawn.body.childNodes);
    document.title = live.querySelector("h1").textContent + " · Ringback";
    if (live.querySelector("[data-over]")) source.close();
  });
})();
