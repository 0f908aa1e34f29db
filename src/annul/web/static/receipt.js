// The address of a QR code carries the receipt behind the "#", which no server sees: put it into the box and send it.
"use strict";

const box = document.getElementById("receipt");
if (box && location.hash.length > 1 && !document.querySelector(".proved")) {
  box.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  box.form.requestSubmit();
}

// On the page of a proved receipt the browser checks it once more, by the verifier that trusts no server.
const own = document.getElementById("own");
if (own) {
  (async () => {
    const verifier = await import(own.dataset.verifier);
    let shown = "own-proved";
    try {
      await verifier.verifyReceipt(own.dataset.receipt, await verifier.parseKeys(own.dataset.keys));
    } catch (error) {
      if (!(error instanceof verifier.Refused)) return; // this browser lacks what it takes; the page stands as it is
      shown = "own-refused";
    }
    document.getElementById(shown).hidden = false;
  })();
}
