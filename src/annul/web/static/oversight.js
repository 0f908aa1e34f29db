// The five numbers follow the register; without a script the page is read again by its reader.
"use strict";

const place = document.querySelector("[data-events]");
if (place && "EventSource" in window) {
  const events = new EventSource(place.dataset.events);
  events.addEventListener("message", (event) => {
    const made = new DOMParser().parseFromString(event.data, "text/html");
    place.replaceChildren(...made.body.childNodes);
  });
  addEventListener("pagehide", () => events.close());
}
