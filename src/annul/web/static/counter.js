// The counter with a script: answers without a new page, questions that wait while the register is away, the card reader beside
// the browser, the camera. Without this script the counter works by plain forms. A document's number is never written to the disk
// in clear: what waits is sealed to the register's public key, and this browser cannot open it again (decision 0011).
"use strict";

(() => {
  const ASK_MS = 8000;
  const POINT_BYTES = 65;
  const INFO = "annul counter queue v1";
  const DATABASE = "annul-counter";
  const OWNER = "annul-counter-owner";
  const bytes = (text) => new TextEncoder().encode(text);
  const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
  const unbase64 = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));

  const make = (name, text, more = {}) => {
    const node = Object.assign(document.createElement(name), more);
    if (text) node.textContent = text;
    return node;
  };

  // -- what waits: an IndexedDB store of {id, asked_s, label, ends, sealed} --------------------------------------------------------

  const store = (mode, work) => new Promise((done, failed) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("waiting", { keyPath: "id" });
    opening.onerror = () => failed(opening.error);
    opening.onsuccess = () => {
      const change = opening.result.transaction("waiting", mode);
      const request = work(change.objectStore("waiting"));
      change.oncomplete = () => { opening.result.close(); done(request.result); };
      change.onerror = () => { opening.result.close(); failed(change.error); };
    };
  });

  const seal = async (plain, publicKey, owner) => {
    const theirs = await crypto.subtle.importKey("raw", unbase64(publicKey), { name: "ECDH", namedCurve: "P-256" }, false, []);
    const ours = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, true, ["deriveBits"]);
    const point = new Uint8Array(await crypto.subtle.exportKey("raw", ours.publicKey));
    const shared = await crypto.subtle.deriveBits({ name: "ECDH", public: theirs }, ours.privateKey, 256);
    const material = await crypto.subtle.importKey("raw", shared, "HKDF", false, ["deriveKey"]);
    const info = new Uint8Array([...bytes(INFO), ...point]);
    const key = await crypto.subtle.deriveKey({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(32), info }, material,
      { name: "AES-GCM", length: 256 }, false, ["encrypt"]);
    const nonce = crypto.getRandomValues(new Uint8Array(12));
    const cipher = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData: bytes(owner) }, key, bytes(plain)));
    const whole = new Uint8Array(POINT_BYTES + nonce.length + cipher.length);
    whole.set(point); whole.set(nonce, POINT_BYTES); whole.set(cipher, POINT_BYTES + nonce.length);
    return base64(whole);
  };

  const asked = new Map(); // answers that came late, by id: shown until the page is left

  const wait = async (form) => {
    const place = document.getElementById("waiting");
    const owner = place.dataset.owner || localStorage.getItem(OWNER) || "";
    const fields = {};
    for (const name of ["number", "valid_from", "valid_until", "kind", "issuer", "mrz", "name", "purpose", "reference", "urgent"]) {
      const field = form.elements[name];
      fields[name] = field ? (field.type === "checkbox" ? (field.checked ? field.value : "") : field.value) : "";
    }
    if (!fields.number.trim() && !fields.mrz.trim()) return;
    const asked_s = Math.floor(Date.now() / 1000);
    const sealed = await seal(JSON.stringify({ form: fields, asked_s }), place.dataset.queueKey, owner);
    await store("readwrite", (all) => all.put({ id: `${Date.now()}-${crypto.randomUUID()}`, asked_s, label: fields.reference.slice(0, 64), ends: endOf(fields), sealed }));
    form.reset();
    form.elements.number.value = "";
    document.querySelector(".answer")?.remove();
    document.querySelector(".acts")?.remove();
    await showWaiting();
    form.elements.number.focus();
  };

  // The last four signs tell two questions apart; the number itself is never written in clear.
  const endOf = (fields) => (fields.number || fields.mrz.split(/\s/)[0]).replace(/[\s<-]/g, "").slice(-4).toUpperCase();

  const iconOf = (outcome) => {
    const drawn = document.querySelector(`#icons`)?.content.querySelector(`[data-icon="${outcome}"] svg`);
    return drawn ? document.importNode(drawn, true) : document.createTextNode("");
  };

  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

  const named = (one, place) => [
    make("span", place.dataset.waits.replace("{at}", clock(one.asked_s))),
    one.ends ? make("span", `${place.dataset.ends} ${one.ends}`, { className: "mono" }) : "",
    one.label ? make("span", one.label, { className: "mono" }) : "",
  ];

  const formTo = (action, words, fields) => {
    const form = make("form", "", { method: "post", action });
    for (const [name, value] of Object.entries(fields)) form.append(make("input", "", { type: "hidden", name, value }));
    form.append(make("button", words, { type: "submit", className: "quiet-button" }));
    return form;
  };

  // One answer that came late, as large in words as any other: outcome, sentence, next steps, receipt to print and to verify.
  const lateAnswer = (id, told, place) => {
    const line = make("li");
    const word = make("strong", "", { className: `with-icon tone-${told.outcome}` });
    word.append(iconOf(told.outcome), make("span", told.word));
    line.append(word, ...named(told, place), make("span", told.means), make("span", told.late, { className: "quiet" }));
    if (told.next?.length) {
      const steps = make("ul", "", { className: "next" });
      for (const step of told.next) steps.append(make("li", step));
      line.append(steps);
    }
    const csrf = document.querySelector('#check input[name="csrf"]')?.value;
    if (told.receipt && csrf) {
      line.append(formTo("/counter/receipt", place.dataset.print, { csrf, receipt: told.receipt }),
        formTo("/receipts/verify", place.dataset.verify, { receipt: told.receipt }));
    }
    const seen = make("button", place.dataset.seen, { type: "button", className: "quiet-button" });
    seen.addEventListener("click", async () => { asked.delete(id); await showWaiting(); });
    line.append(seen);
    return line;
  };

  const showWaiting = async () => {
    const place = document.getElementById("waiting");
    if (!place) return;
    const all = await store("readonly", (waiting) => waiting.getAll());
    place.replaceChildren();
    place.hidden = !all.length && !asked.size;
    if (place.hidden) return;
    const box = make("section", "", { className: "waiting" });
    box.setAttribute("role", "status");
    const list = make("ul");
    for (const one of all) {
      const line = make("li");
      line.append(make("strong", place.dataset.title), ...named(one, place));
      const drop = make("button", place.dataset.drop, { type: "button", className: "quiet-button" });
      drop.addEventListener("click", async () => { await store("readwrite", (waiting) => waiting.delete(one.id)); await showWaiting(); });
      line.append(drop);
      list.append(line);
    }
    for (const [id, told] of asked) list.append(lateAnswer(id, told, place));
    const inner = make("div");
    if (all.length) inner.append(make("p", place.dataset.note));
    inner.append(list);
    if (all.length && document.querySelector('#check input[name="csrf"]')) {
      const again = make("button", place.dataset.send, { type: "button", className: "govuk-button" });
      again.addEventListener("click", () => send(true));
      inner.append(again);
    }
    const head = make("h2", "", { className: "with-icon" });
    head.append(iconOf(all.length ? "NO_ANSWER" : "PASS"), make("span", all.length ? `${place.dataset.title} (${all.length})` : place.dataset.late));
    box.append(head, inner);
    place.append(box);
  };

  let sending = false;
  const send = async (wanted = false) => {
    const place = document.getElementById("waiting");
    const csrf = document.querySelector('#check input[name="csrf"]');
    if (sending || !place || !csrf || (!navigator.onLine && !wanted)) return;
    sending = true;
    try {
      for (const one of await store("readonly", (all) => all.getAll())) {
        const body = new URLSearchParams({ csrf: csrf.value, sealed: one.sealed });
        const reply = await fetch("/counter/queued", { method: "POST", body, signal: AbortSignal.timeout(ASK_MS) });
        if (reply.redirected || !reply.ok) {
          place.querySelector("p")?.replaceChildren(place.dataset.refused);
          break;
        }
        asked.set(one.id, { ...(await reply.json()), label: one.label, ends: one.ends, asked_s: one.asked_s });
        await store("readwrite", (all) => all.delete(one.id));
        await showWaiting();
      }
    } catch { /* still away: everything waits on */ } finally { sending = false; }
  };

  // -- a check without a new page ---------------------------------------------------------------------------------------------

  const show = async (reply) => {
    const read = new DOMParser().parseFromString(await reply.text(), "text/html");
    const main = read.getElementById("main");
    if (!main || !(read.getElementById("check") || read.getElementById("compare"))) { location.assign(reply.url); return; }
    document.getElementById("main").replaceWith(document.adoptNode(main));
    document.title = read.title;
    scrollTo(0, 0);
    await begin();
    const wrong = document.querySelector(".govuk-error-summary");
    if (wrong) { wrong.tabIndex = -1; wrong.focus(); } else document.getElementById("number")?.focus({ preventScroll: true });
  };

  const submitCheck = async (event) => {
    event.preventDefault();
    const form = event.target;
    if (form.dataset.busy) return;
    form.dataset.busy = "1";
    if (!cardRead) portrait = proved = null;
    cardRead = false;
    try {
      if (form.dataset.offline) { await wait(form); return; }
      let reply;
      try {
        reply = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), signal: AbortSignal.timeout(ASK_MS) });
      } catch {
        await wait(form);
        return;
      }
      if (reply.redirected && !reply.url.endsWith("/counter")) { location.assign(reply.url); return; }
      await show(reply);
    } finally { delete form.dataset.busy; delete form.dataset.sent; }
  };

  // -- the card reader: the station beside this browser ------------------------------------------------------------------------

  const STATION = "http://127.0.0.1:8673";
  let cardRead = false;
  let portrait = null; // of the chip, in memory of this page until the next document
  let proved = null; // what that chip proved

  const station = () => {
    const place = document.getElementById("station");
    if (!place) return;
    place.hidden = false;
    place.replaceChildren();
    const box = make("details", "", { className: "govuk-details" });
    const head = make("summary", "", { className: "govuk-details__summary" });
    head.append(make("span", place.dataset.summary, { className: "govuk-details__summary-text" }));
    const inner = make("div", "", { className: "govuk-details__text" });
    const address = make("input", "", { className: "govuk-input", id: "station-address", value: sessionStorage.getItem("station") || STATION });
    const token = make("input", "", { className: "govuk-input", id: "station-token", type: "password", autocomplete: "off", value: sessionStorage.getItem("station-token") || "" });
    const said = make("p", "");
    said.setAttribute("role", "status");
    const form = make("form");
    form.addEventListener("submit", (event) => { event.preventDefault(); readCard(address.value, token.value, said); });
    const read = make("button", place.dataset.read, { type: "submit", className: "govuk-button" });
    const labels = [["station-address", place.dataset.address, address], ["station-token", `${place.dataset.token} (${place.dataset.tokenHint})`, token]];
    for (const [id, words, field] of labels) {
      const group = make("div", "", { className: "govuk-form-group" });
      group.append(make("label", words, { className: "govuk-label govuk-label--s", htmlFor: id }), field);
      form.append(group);
    }
    form.append(read);
    inner.append(form, said);
    box.append(head, inner);
    box.open = Boolean(token.value);
    place.append(box);
  };

  const callStation = async (address, token, path, body) => {
    const reply = await fetch(address.replace(/\/$/, "") + path, {
      method: body === undefined ? "GET" : "POST", body: body === undefined ? undefined : JSON.stringify(body),
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      signal: AbortSignal.timeout(30000),
    });
    const told = await reply.json();
    if (!reply.ok) throw new Error([told.detail, told.mend].filter(Boolean).join(" "));
    return told;
  };

  const readCard = async (address, token, said) => {
    const place = document.getElementById("station");
    const form = document.getElementById("check");
    sessionStorage.setItem("station", address);
    sessionStorage.setItem("station-token", token);
    said.textContent = place.dataset.reading;
    try {
      const { readers } = await callStation(address, token, "/v1/readers");
      const zone = form.elements.mrz.value.trim() || (form.elements.number.value.includes("<") ? form.elements.number.value : "");
      const chip = readers.find((one) => one.kind === "chip");
      const found = zone && chip
        ? await callStation(address, token, "/v1/card", { key: { mrz: zone }, reader: chip.name, portrait: true })
        : await callStation(address, token, "/v1/resident", { port: null, wait_s: 5 });
      const shown = found.document;
      const lines = found.zone || [];
      form.elements.mrz.value = lines.join("\n");
      form.elements.number.value = lines.length ? "" : shown.number || "";
      form.elements.valid_from.value = lines.length ? "" : shown.valid_from || "";
      form.elements.valid_until.value = lines.length ? "" : shown.valid_until || "";
      if (form.elements.name && found.holder) form.elements.name.value = found.holder.name || "";
      portrait = found.portrait;
      proved = found.chip;
      cardRead = true;
      said.textContent = "";
      form.requestSubmit();
    } catch (error) {
      said.textContent = error instanceof TypeError ? place.dataset.away : error.message;
    }
  };

  // -- the camera on the page of the comparison --------------------------------------------------------------------------------

  const camera = (place) => {
    const field = document.getElementById(place.dataset.camera);
    if (!field || !navigator.mediaDevices) return;
    place.hidden = false;
    place.className = "camera";
    const open = make("button", place.dataset.start, { type: "button", className: "govuk-button govuk-button--secondary" });
    const said = make("p", "");
    said.setAttribute("role", "status");
    place.append(open, said);
    open.addEventListener("click", async () => {
      let stream;
      try { stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 960 } }); }
      catch { said.textContent = place.dataset.away; return; }
      const video = make("video", "", { autoplay: true, playsInline: true, muted: true, srcObject: stream });
      const take = make("button", place.dataset.take, { type: "button", className: "govuk-button" });
      open.hidden = true;
      place.prepend(video, take);
      take.focus();
      take.addEventListener("click", () => {
        const still = make("canvas", "", { width: video.videoWidth, height: video.videoHeight });
        still.getContext("2d").drawImage(video, 0, 0);
        still.toBlob((picture) => {
          const files = new DataTransfer();
          files.items.add(new File([picture], "bearer.jpg", { type: "image/jpeg" }));
          field.files = files.files;
          for (const track of stream.getTracks()) track.stop();
          video.replaceWith(still);
          take.remove();
          open.textContent = place.dataset.again;
          open.hidden = false;
          open.addEventListener("click", () => still.remove(), { once: true });
          said.textContent = place.dataset.taken;
        }, "image/jpeg", 0.92);
      });
    });
  };

  // The comparison opens in this page, so that the portrait of the chip need not leave its memory.
  const openComparison = async (event) => {
    event.preventDefault();
    const form = event.target;
    await show(await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), signal: AbortSignal.timeout(ASK_MS) }));
  };

  const putPortrait = () => {
    const field = document.getElementById("portrait");
    if (!field || !portrait) return;
    const files = new DataTransfer();
    files.items.add(new File([unbase64(portrait.data)], "holder", { type: portrait.media_type }));
    field.files = files.files;
    const chip = field.form.elements.chip;
    chip.value = proved ? JSON.stringify(proved) : "";
    field.addEventListener("change", () => { chip.value = ""; }); // another picture is not the chip's
  };

  // -- beginning ---------------------------------------------------------------------------------------------------------------

  const begin = async () => {
    const form = document.getElementById("check");
    if (form) form.addEventListener("submit", submitCheck);
    const place = document.getElementById("waiting");
    if (place?.dataset.owner) localStorage.setItem(OWNER, place.dataset.owner);
    const photo = document.getElementById("photo");
    photo?.addEventListener("change", () => { if (photo.files.length) photo.form.requestSubmit(); });
    station();
    document.querySelectorAll("[data-camera]").forEach(camera);
    putPortrait();
    document.querySelector('form[action="/counter/compare"]')?.addEventListener("submit", openComparison);
    if (place) { await showWaiting(); await send(); }
  };

  addEventListener("online", () => send());
  begin();
  if ("serviceWorker" in navigator && document.getElementById("check")) {
    navigator.serviceWorker.register("/counter/worker.js", { scope: "/counter" }).catch(() => {});
  }
})();
