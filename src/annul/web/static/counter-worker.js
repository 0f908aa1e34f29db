// Keep one page of the counter for the time when the register is away: the offline page with its style and script. It holds nothing
// of any document, and no answer: a page that was not loaded anew is never shown as an answer.
"use strict";

const KEPT = "annul-counter-v1";
const PAGE = "/counter/offline";

addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const kept = await caches.open(KEPT);
    const page = await fetch(PAGE, { cache: "reload", credentials: "omit" }); // nobody's page: no token, no name of a counter
    const text = await page.clone().text();
    await kept.put(PAGE, page);
    const parts = [...text.matchAll(/(?:href|src)="(\/static\/[^"]+)"/g)].map((found) => found[1]);
    await kept.addAll(parts);
    await self.skipWaiting();
  })());
});

addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name !== KEPT) await caches.delete(name);
    await clients.claim();
  })());
});

addEventListener("fetch", (event) => {
  const { request } = event;
  const { pathname } = new URL(request.url);
  if (request.method !== "GET" || (request.mode !== "navigate" && !pathname.startsWith("/static/"))) return;
  event.respondWith((async () => {
    try {
      return await fetch(request);
    } catch (error) {
      const kept = await caches.open(KEPT);
      const found = await kept.match(request.mode === "navigate" ? PAGE : request);
      if (found) return found;
      throw error;
    }
  })());
});
