// The address of a QR code carries the receipt behind the "#", which no server sees: put it into the box and send it.
"use strict";

const box = document.getElementById("receipt");
if (box && location.hash.length > 1 && !document.querySelector(".proved")) {
  box.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  box.form.requestSubmit();
}
