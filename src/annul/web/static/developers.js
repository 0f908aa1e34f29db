// What the developers' pages gain from a script: a search over the operations, copying, and an operation tried out with a test key.
// The key stays in this page; it is sent to this register alone.
"use strict";

const find = document.querySelector("[data-find]");
if (find) {
  find.hidden = false;
  const none = find.querySelector("[data-none]");
  find.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const group of document.querySelectorAll("[data-group]")) {
      let left = 0;
      for (const row of group.querySelectorAll("tbody tr")) {
        row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
        if (!row.hidden) left += 1;
      }
      group.hidden = !left;
      shown += left;
    }
    none.hidden = shown > 0;
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = button.dataset.done;
  });
}

const trial = document.querySelector("form[data-try]");
if (trial) {
  trial.hidden = false;
  trial.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { key, address, body } = trial.elements;
    const shown = trial.querySelector("output");
    const headers = {};
    if (key && key.value.trim()) headers.authorization = `Bearer ${key.value.trim()}`;
    if (body) headers["content-type"] = trial.dataset.media;
    shown.textContent = "…";
    try {
      const sent = body && trial.dataset.media !== "application/json" ? new URLSearchParams(JSON.parse(body.value)) : body && body.value;
      const answer = await fetch(address.value, { method: trial.dataset.try, headers, body: sent || undefined, credentials: "omit" });
      const text = await answer.text();
      let told = text;
      try { told = JSON.stringify(JSON.parse(text), null, 2); } catch { /* no JSON: as it came */ }
      shown.textContent = `${answer.status} ${answer.statusText}\n${told.slice(0, 20000)}`;
    } catch (error) {
      shown.textContent = String(error);
    }
  });
}
