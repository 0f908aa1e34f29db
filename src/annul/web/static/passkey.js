// Passkeys: asks the authenticator and puts its answer into the form; everything else is the form's. No other data leaves.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

async function ask(kind, asked) {
  const options = { ...asked, challenge: bytes(asked.challenge) };
  if (kind === "get") {
    options.allowCredentials = known(asked.allowCredentials);
    return navigator.credentials.get({ publicKey: options });
  }
  options.user = { ...asked.user, id: bytes(asked.user.id) };
  options.excludeCredentials = known(asked.excludeCredentials);
  return navigator.credentials.create({ publicKey: options });
}

function told(credential) {
  const response = { clientDataJSON: text(credential.response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response, clientExtensionResults: {} });
}

for (const hidden of document.querySelectorAll(".script-only")) hidden.hidden = false;

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    if (form.elements.credential.value) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    try {
      form.elements.credential.value = told(await ask(form.dataset.passkey, JSON.parse(form.dataset.options)));
      form.submit();
    } catch {
      form.querySelector(".error-line").hidden = false;
    }
  }, true);
}
