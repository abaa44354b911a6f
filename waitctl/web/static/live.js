// Look again when the server says that something has changed, unless somebody is writing, reading on or choosing.
"use strict";
(() => {
  const source = document.currentScript.dataset.live;
  if (!window.EventSource || new URLSearchParams(location.search).has("done")) return;
  let looking = false;
  const isBusy = () => {
    const main = document.getElementById("main");
    const active = document.activeElement;
    return document.hidden || looking || main.querySelector("details[open]") ||
      (active && active !== main && main.contains(active)) || String(getSelection());
  };
  new EventSource(source).addEventListener("change", async () => {
    if (isBusy()) return;
    looking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const here = document.getElementById("main"), there = page.getElementById("main");
      if (there && here.innerHTML !== there.innerHTML) here.replaceWith(document.adoptNode(there));
    } finally {
      looking = false;
    }
  });
})();
