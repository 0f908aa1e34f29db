// Ask verify.mjs line by line: each line of the input is one question in JSON, each line of the output its answer.
//   ["receipt", keys, form]  form: {"json": …}, {"text": …} or {"hex": …}    ["checkpoint", keys, note, witnesses, quorum]
//   ["entry", keys, proof]   ["grown", keys, old, new, proof]                ["mldsa", key, message, signature] in hex
//   ["document", says, opening, identity]
// Answer: {"proved": …}, or {"step": n, "message": …} of a refusal; anything else that is thrown is {"thrown": …}.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const verifier = await import(pathToFileURL(process.argv[2]).href);
const kept = new Map();
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));

async function keysOf(lines) {
  if (!kept.has(lines)) kept.set(lines, await verifier.parseKeys(lines));
  return kept.get(lines);
}

const answers = {
  receipt: async (lines, form) =>
    verifier.verifyReceipt(form.hex !== undefined ? bytes(form.hex) : form.text ?? form.json, await keysOf(lines)),
  checkpoint: async (lines, note, witnesses, quorum) =>
    verifier.openCheckpoint(note.hex !== undefined ? bytes(note.hex) : note, await keysOf(lines),
      witnesses ? await keysOf(witnesses) : [], quorum),
  entry: async (lines, proof) => verifier.verifyEntry(proof, await keysOf(lines)),
  grown: async (lines, old, now, proof) => verifier.verifyGrown(old, now, proof, await keysOf(lines)),
  document: async (says, opening, identity) => (await verifier.verifyDocument(says, opening, identity)) ?? true,
  mldsa: async (key, message, signature) => verifier.mldsa44(bytes(key), bytes(message), bytes(signature)),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [what, ...given] = JSON.parse(line);
  let answer;
  try {
    answer = { proved: await answers[what](...given) };
  } catch (error) {
    answer = error instanceof verifier.Refused ? { step: error.step, message: error.message } : { thrown: String(error.stack) };
  }
  console.log(JSON.stringify(answer, (_, value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value)));
}
