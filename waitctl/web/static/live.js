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
  const lookAgain = async () => {
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
  };
  // A browser does not ask again where it was told that there are too many, or that the database is away.
  const listen = () => {
    const heard = new EventSource(source);
    heard.addEventListener("change", lookAgain);
    heard.addEventListener("error", () => {
      if (heard.readyState === EventSource.CLOSED) setTimeout(listen, 15000);
    });
  };
  listen();
})();
