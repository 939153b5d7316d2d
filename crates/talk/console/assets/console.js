// Follows the live list, copies what is shown once. Pages are whole without it.
"use strict";
const live = document.querySelector("[data-stream]");
if (live && window.EventSource) {
  const state = document.getElementById("live-state");
  const pause = live.querySelector("[data-pause]");
  const rows = document.getElementById("events");
  const shown = 200;
  let held = [];
  let paused = false;
  const add = (html) => {
    const table = document.createElement("table");
    const body = document.createElement("tbody");
    body.innerHTML = html;
    table.append(body);
    for (const row of Array.from(body.children).reverse()) {
      row.classList.add("fresh");
      rows.prepend(row);
    }
    while (rows.children.length > shown) rows.lastElementChild.remove();
  };
  const say = () => {
    state.textContent = paused ? `Paused${held.length ? ", more is waiting" : ""}.` : "Following.";
    pause.textContent = paused ? "Go on" : "Pause";
  };
  const turn = () => {
    paused = !paused;
    if (!paused) {
      held.forEach(add);
      held = [];
    }
    say();
  };
  const source = new EventSource(live.dataset.stream);
  source.addEventListener("open", say);
  source.addEventListener("rows", (event) => {
    if (paused) {
      held.push(event.data);
      if (held.length > shown) held.shift();
      say();
    } else add(event.data);
  });
  source.addEventListener("error", () => {
    state.textContent = source.readyState === EventSource.CLOSED ? "Not connected: load the page again." : "Connecting…";
  });
  pause.hidden = false;
  pause.addEventListener("click", turn);
  document.addEventListener("keydown", (event) => {
    if (event.key === "p" && !event.ctrlKey && !event.metaKey && !event.altKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) turn();
  });
}
for (const code of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  });
  code.after(button);
}
