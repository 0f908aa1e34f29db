// Verify what an annul register answered, without trusting it: receipts, checkpoints with cosignatures, entries and growth of
// its logs. One file, no dependencies; runs in Node 20 or newer and in a browser, offline. Written from docs/formats/receipt.md and
// docs/formats/tiles.md; a refusal names the failing step of the recipe there.
//
//   node verify.mjs RECEIPT --key annul.pub                               a receipt: JSON, whole answer, binary or R1. text
//   node verify.mjs checkpoint NOTE --key annul.pub [--witness FILE] [--quorum N]
//   node verify.mjs entry PROOF --key annul.pub                           PROOF: answer of GET /v1/log/LOG/proof
//   node verify.mjs grown OLD NEW PROOF --key annul.pub                   PROOF: answer of GET /v1/log/LOG/consistency
//
// Exit code: 0 proved, 1 refused, 2 it was not asked as above.

const text = new TextEncoder();
const TIME_MAX = 253402300799999999n;

/** What does not hold: `step` of the recipe, and `where`. */
export class Refused extends Error {
  constructor(step, message, where = "") {
    super(message);
    this.step = step;
    this.where = where;
  }
}

// -- bytes --

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const same = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));

/** Read base64 in its one canonical spelling; null when it is not. */
function unbase64(spelt) {
  if (typeof spelt !== "string") return null;
  try {
    const raw = atob(spelt);
    return btoa(raw) === spelt ? Uint8Array.from(raw, (character) => character.charCodeAt(0)) : null;
  } catch {
    return null;
  }
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function unbase32(spelt) {
  const out = [];
  let held = 0, bits = 0;
  for (const character of spelt) {
    const value = BASE32.indexOf(character);
    if (value < 0) return null;
    held = (held << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out.push(held >> bits);
      held &= (1 << bits) - 1;
    }
  }
  return held === 0 && bits < 5 ? Uint8Array.from(out) : null;
}

function u64(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}

// -- keys --

const KINDS = { 1: 32, 4: 32, 6: 1312 }; // Ed25519 of a log or of receipts; cosignature Ed25519; cosignature ML-DSA-44

/** Read verifier keys, one a line: `name+key ID+base64(kind | key)`. */
export async function parseKeys(lines) {
  const keys = [];
  for (const line of lines.split("\n").map((each) => each.trim()).filter(Boolean)) {
    const [vkey, ...words] = line.split(/\s+/);
    const [name, id, ...rest] = vkey.split("+");
    const blob = unbase64(rest.join("+"));
    if (!/^[^\s+]{1,255}$/.test(name) || !blob || blob.length !== KINDS[blob[0]] + 1)
      throw new Refused(2, "A line of the key file is no verifier key.", "key");
    const found = hex((await sha256(text.encode(`${name}\n`), blob)).subarray(0, 4));
    if (found !== id) throw new Refused(2, "A verifier key's ID does not fit its name and key.", "key");
    keys.push({ name, id, kind: blob[0], key: blob.subarray(1), ...period(words) });
  }
  if (!keys.length) throw new Refused(2, "There is no verifier key.", "key");
  return keys;
}

/** Read a key's period behind it, ` from=2026-11-30T12:00:00Z until=…`, in microseconds. */
function period(words) {
  const told = {};
  for (const word of words) {
    const [, side, time] = /^(from|until)=(\d{4}(?:-\d\d){2}T\d\d(?::\d\d){2}Z)$/.exec(word) ?? [];
    const at = Date.parse(time);
    if (!side || side in told || Number.isNaN(at)) throw new Refused(2, "The period of a verifier key cannot be read.", "key");
    told[side] = BigInt(at) * 1000n;
  }
  return told;
}

const GRACE = 300_000_000n; // microseconds: clocks of a register may differ

async function ed25519(key, message, signature) {
  try {
    const imported = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", imported, signature, message);
  } catch (error) {
    if (error?.name === "NotSupportedError") throw new Error("This program has no Ed25519: use a newer browser or Node 20.");
    return false;
  }
}

// -- trees (RFC 9162 section 2.1) --

export const leafHash = (data) => sha256(Uint8Array.of(0), data);
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);
const half = (value) => Math.floor(value / 2); // sizes have more than 32 bits

/** Refuse unless the path leads from the leaf hash to the root. */
export async function verifyInclusion(root, size, index, leaf, path, step = 6) {
  const no = () => new Refused(step, "The path does not lead from the entry to the root.", "path");
  if (!Number.isSafeInteger(index) || index < 0 || index >= size || path.some((each) => each?.length !== 32)) throw no();
  let at = index, last = size - 1, value = leaf;
  for (const sibling of path) {
    if (last === 0) throw no();
    if (at % 2 || at === last) {
      value = await nodeHash(sibling, value);
      while (at % 2 === 0 && at) [at, last] = [half(at), half(last)];
    } else value = await nodeHash(value, sibling);
    [at, last] = [half(at), half(last)];
  }
  if (last !== 0 || !same(value, root)) throw no();
}

/** Refuse unless the old tree is a beginning of the new one. */
export async function verifyConsistency(oldRoot, old, newRoot, size, proof) {
  const no = () => new Refused(6, "The older tree is not a beginning of the newer one.", "proof");
  if (!(old >= 0 && old <= size) || proof.some((each) => each?.length !== 32)) throw no();
  if (old === 0 || old === size) {
    const empty = old === 0 ? await sha256() : oldRoot;
    if (proof.length || !same(oldRoot, empty) || (old === size && !same(oldRoot, newRoot))) throw no();
    return;
  }
  const steps = [...proof];
  let at = old - 1, last = size - 1;
  while (at % 2) [at, last] = [half(at), half(last)];
  if (at === 0) steps.unshift(oldRoot); // the old tree is a full one
  if (!steps.length) throw no();
  let first = steps[0], second = steps[0];
  for (const value of steps.slice(1)) {
    if (last === 0) throw no();
    if (at % 2 || at === last) {
      first = await nodeHash(value, first);
      second = await nodeHash(value, second);
      while (at % 2 === 0 && at) [at, last] = [half(at), half(last)];
    } else second = await nodeHash(second, value);
    [at, last] = [half(at), half(last)];
  }
  if (last !== 0 || !same(first, oldRoot) || !same(second, newRoot)) throw no();
}

// -- receipts --

const LEAF = 128, STATEMENT = 87, SIGNATURE = 64;
const NAMES = {
  purpose: { 0: null, 1: "account-opening", 2: "account-servicing", 3: "payment", 4: "credit", 5: "sim-registration",
    6: "hotel-check-in", 7: "travel", 8: "employment", 9: "medical", 10: "public-service", 11: "law-enforcement",
    12: "other-by-law" },
  channel: { 0: null, 1: "in_person", 2: "remote" },
  outcome: { 1: "PASS", 2: "REFER", 3: "STOP", 4: "NO_ANSWER" },
  status: { 0: null, 1: "V00", 2: "V01", 16: "S00", 17: "S10", 18: "S11", 19: "S12", 20: "S13", 32: "I00", 33: "I20",
    34: "I21", 35: "I22", 36: "I23", 37: "I24", 38: "I25", 48: "U30", 49: "U31", 50: "U32", 51: "U33", 52: "U34" },
  identity: { 0: null, 1: "M0", 2: "M1", 3: "M2", 4: "M3", 9: "M9" },
  binding: { 0: null, 1: "B0", 2: "B1", 3: "B2", 4: "B3", 9: "B9" },
  freshness: { 0: null, 1: "F0", 2: "F1", 3: "F2" },
  error: { 0: "E00", 90: "E90", 91: "E91", 92: "E92", 93: "E93", 94: "E94", 95: "E95" },
  coverage: { 0: "none", 1: "listing_only", 2: "whole_life" },
};
const SCHEMES = { 0: null, 1: "cn-resident", 2: "icao-9303", 3: "ru-internal", 4: "generic" };
const MEMBERS = ["version", "leaf", "index", "path", "statement", "signature", "key"];

const formless = (message = "This is not a receipt.", where = "") => new Refused(1, message, where);

function fromBinary(data) {
  if (data.length < 289 || data[0] !== 1 || data.length !== 289 + 32 * data[288])
    throw formless("This is not a receipt of a known version, or it is cut short.");
  return { key: hex(data.subarray(1, 5)), index: new DataView(data.buffer, data.byteOffset).getUint32(5),
    leaf: data.subarray(9, 137), statement: data.subarray(137, 224), signature: data.subarray(224, 288),
    path: data.subarray(289) };
}

function fromObject(data) {
  if (data === null || typeof data !== "object" || Array.isArray(data)) throw formless();
  const names = Object.keys(data);
  if (names.length !== MEMBERS.length || !MEMBERS.every((name) => names.includes(name)))
    throw formless("A member is missing or unknown.");
  if (data.version !== 1) throw formless("The version is not known.", "version");
  if (!Number.isInteger(data.index) || data.index < 0 || data.index > 0xffffffff) throw formless("Not an index.", "index");
  if (typeof data.key !== "string" || !/^[0-9a-f]{8}$/.test(data.key)) throw formless("Not a key ID.", "key");
  const parts = { key: data.key, index: data.index };
  for (const name of ["leaf", "path", "statement", "signature"]) {
    parts[name] = unbase64(data[name]);
    if (!parts[name]) throw formless("A member is not in canonical base64.", name);
  }
  return parts;
}

/** Read a receipt in any form: object, whole answer, JSON text, R1. text (an address in front is left out), bytes. */
export function readReceipt(given) {
  let data = given, answer = null;
  if (data instanceof Uint8Array) {
    if (data[0] === 1) return { parts: sized(fromBinary(data)), answer };
    try {
      data = new TextDecoder("utf-8", { fatal: true }).decode(data);
    } catch {
      throw formless();
    }
  }
  if (typeof data === "string") {
    const at = data.lastIndexOf("R1.");
    if (at >= 0 && !data.trimStart().startsWith("{")) {
      const bytes = unbase32(data.slice(at + 3).trim());
      if (!bytes) throw formless("This is not the compact text of a receipt.");
      return { parts: sized(fromBinary(bytes)), answer };
    }
    try {
      data = JSON.parse(data);
    } catch {
      throw formless();
    }
  }
  if (data !== null && typeof data === "object" && data.receipt !== null && typeof data.receipt === "object") {
    answer = data;
    data = data.receipt;
  }
  return { parts: sized(fromObject(data)), answer };
}

function sized(parts) {
  for (const [name, size] of [["leaf", LEAF], ["statement", STATEMENT], ["signature", SIGNATURE]])
    if (parts[name].length !== size) throw formless(`The ${name} does not have ${size} bytes.`, name);
  if (parts.path.length % 32 || parts.path.length > 32 * 32) throw formless("The path is not of 0 to 32 hashes.", "path");
  return parts;
}

/** Verify a receipt with trusted keys (of `parseKeys`); returns what it proves, in codes and times. */
export async function verifyReceipt(given, keys) {
  // 1 form
  const { parts, answer } = readReceipt(given);
  // 2 key
  const key = keys.find((each) => each.kind === 1 && each.name === "annul/receipts" && each.id === parts.key);
  if (!key) throw new Refused(2, "The receipt was signed with a key that is not trusted here.", "key");
  // 3 signature
  if (!(await ed25519(key.key, join(text.encode("annul window v1\n"), parts.statement), parts.signature)))
    throw new Refused(3, "The signature does not fit the statement.", "signature");
  // 4 statement
  const stated = new DataView(parts.statement.slice().buffer);
  const count = stated.getUint32(11), closed = stated.getBigUint64(15);
  if (parts.statement[0] !== 1 || count < 1 || closed > TIME_MAX)
    throw new Refused(4, "The statement is of another version, covers no answer, or has no time.", "statement");
  if (closed < (key.from ?? 0n) - GRACE || closed >= (key.until ?? TIME_MAX + 1n) + GRACE)
    throw new Refused(4, "The key was not in use when this receipt was made.", "key");
  if (parts.index >= count) throw new Refused(4, "The window has no answer with this index.", "index");
  // 5 inclusion
  const path = Array.from({ length: parts.path.length / 32 }, (_, at) => parts.path.subarray(32 * at, 32 * at + 32));
  const hashed = await leafHash(parts.leaf);
  await verifyInclusion(parts.statement.subarray(55), count, parts.index, hashed, path, 5);
  // 6 leaf
  const says = readLeaf(parts.leaf);
  says.check = hex(hashed.subarray(0, 16));
  if (answer) agree(answer, says);
  return { ...says, worker: stated.getUint16(1), window: Number(stated.getBigUint64(3)), index: parts.index,
    answers_in_window: count, closed_at: rfc3339(closed), key: parts.key, document_commitment: hex(parts.leaf.subarray(64, 96)),
    sealed_leaf_hash: hex(await leafHash(join(parts.statement, parts.signature))) };
}

const rfc3339 = (microseconds) => new Date(Number(microseconds / 1000n)).toISOString();

function readLeaf(leaf) {
  const no = (where) => new Refused(6, "The leaf has a code, a name or a time without meaning.", where);
  const view = new DataView(leaf.slice().buffer);
  if (leaf[0] !== 1) throw no("version");
  const checked = view.getBigUint64(2), asOf = view.getBigUint64(18);
  if (leaf[1] > 1) throw no("flags");
  if (checked > TIME_MAX || asOf > TIME_MAX) throw no("time");
  const end = leaf.subarray(26, 50).findLastIndex((byte) => byte !== 0) + 1;
  const party = leaf.subarray(26, 26 + end);
  if (!end || party.some((byte) => byte < 33 || byte > 126)) throw no("party");
  const says = { checked_at: rfc3339(checked), party: String.fromCharCode(...party), realm: leaf[1] ? "test" : "live" };
  says.scheme = SCHEMES[leaf[52]] === undefined ? "unknown" : SCHEMES[leaf[52]];
  const order = { purpose: 50, channel: 51, outcome: 53, status: 54, identity: 55, binding: 56, freshness: 57, error: 58,
    coverage: 59 };
  for (const [axis, at] of Object.entries(order)) {
    says[axis] = NAMES[axis][leaf[at]];
    if (says[axis] === undefined) throw no(axis);
  }
  const advice = view.getUint16(60);
  if (advice >> 9) throw no("advice");
  says.advice = [1, 2, 3, 4, 5, 6, 7, 8, 9].filter((n) => (advice >> (n - 1)) & 1).map((n) => `A${n}`);
  says.policy_version = view.getUint16(62);
  says.position = Number(view.getBigUint64(10));
  says.as_of = rfc3339(asOf);
  return says;
}

/** Refuse an answer that says otherwise than its receipt: the receipt is what was signed. */
function agree(answer, says) {
  const pairs = [["outcome", answer.outcome], ["status", answer.status?.code], ["identity", answer.identity?.code],
    ["binding", answer.binding?.code], ["freshness", answer.freshness?.code], ["position", answer.freshness?.position],
    ["as_of", answer.freshness?.as_of], ["check", answer.check]];
  for (const [name, said] of pairs)
    if (said !== says[name]) throw new Refused(6, "The answer says otherwise than the receipt that came with it.", name);
  if (JSON.stringify(answer.advice) !== JSON.stringify(says.advice))
    throw new Refused(6, "The answer says otherwise than the receipt that came with it.", "advice");
}

/** Step 7: refuse unless the receipt is about this document: opening in hex; scheme, issuer, kind, number, start as texts. */
export async function verifyDocument(says, opening, identity) {
  const texts = identity.map((each) => text.encode(each));
  const parts = texts.flatMap((each) => [Uint8Array.of(each.length >> 8, each.length & 255), each]);
  const salt = Uint8Array.from(opening.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const found = await sha256(text.encode("annul document v1\0"), salt, ...parts);
  if (!/^[0-9a-f]{32}$/.test(opening) || identity.length !== 5 || hex(found) !== says.document_commitment)
    throw new Refused(7, "The receipt is not about this document.", "document");
}

// -- checkpoints --

/**
 * Open a checkpoint that a trusted key of a log signed; witnesses are further keys, of kind 4 or 6.
 * Returns { origin, size, root, witnesses: [{ name, at }] }.
 */
export async function openCheckpoint(note, keys, witnesses = [], quorum = 0) {
  const broken = new Refused(1, "This is not a signed note.", "note");
  let whole = note;
  if (whole instanceof Uint8Array) {
    try {
      whole = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(whole);
    } catch {
      throw broken;
    }
  }
  // 1 form
  const cut = whole.lastIndexOf("\n\n");
  if (cut < 0 || !whole.endsWith("\n") || whole.length > 1000000) throw broken;
  if (/[\x00-\x09\x0b-\x1f]/.test(whole.slice(0, cut))) throw broken;
  const body = text.encode(whole.slice(0, cut + 1));
  const lines = whole.slice(cut + 2, -1).split("\n");
  if (lines.length > 100) throw broken;
  const seen = new Map();
  const logs = keys.filter((each) => each.kind === 1);
  const signed = [];
  for (const line of lines) {
    const found = /^— ([^\s+]{1,255}) (\S+)$/u.exec(line);
    const blob = found && unbase64(found[2]);
    if (!blob || blob.length < 5) throw broken;
    signed.push({ name: found[1], id: hex(blob.subarray(0, 4)), signature: blob.subarray(4) });
  }
  // 2 signatures of known keys
  let by = null;
  for (const { name, id, signature } of signed) {
    const known = [...logs, ...witnesses].find((each) => each.name === name && each.id === id);
    if (!known) continue;
    const wrong = new Refused(2, "A signature of the note is wrong.", name);
    if (known.kind === 1) {
      if (!(await ed25519(known.key, body, signature))) throw wrong;
      by ??= known;
    } else {
      const at = signature.length > 8 ? new DataView(signature.slice().buffer).getBigUint64(0) : -1n;
      if (at < 0n || at >= 1n << 63n || !(await cosigned(known, at, whole.slice(0, cut + 1), signature.subarray(8)))) throw wrong;
      seen.set(known.name, at);
    }
  }
  // 3 key
  if (!by) throw new Refused(3, "No trusted key signed this note.", "key");
  // 4 checkpoint
  const [origin, size, root, ...rest] = whole.slice(0, cut).split("\n");
  const hash = unbase64(root ?? "");
  if (!origin || !/^(0|[1-9][0-9]{0,18})$/.test(size ?? "") || hash?.length !== 32 || rest.some((each) => !each))
    throw new Refused(4, "This note is not a checkpoint.", "checkpoint");
  if (!Number.isSafeInteger(Number(size))) throw new Refused(4, "This log is larger than this program can count.", "size");
  // 5 log
  if (origin !== by.name) throw new Refused(5, "The checkpoint is of another log.", origin);
  // 7 witnesses
  if (seen.size < quorum) throw new Refused(7, `Only ${seen.size} of ${quorum} witnesses cosigned the checkpoint.`, "witness");
  return { origin, size: Number(size), root: hash, witnesses: [...seen].map(([name, at]) => ({ name, at: Number(at) })) };
}

async function cosigned(witness, at, note, signature) {
  if (witness.kind === 4) return ed25519(witness.key, text.encode(`cosignature/v1\ntime ${at}\n${note}`), signature);
  const [origin, size, root] = note.split("\n");
  const names = [text.encode(witness.name), text.encode(origin)];
  const hash = unbase64(root ?? "");
  if (names.some((each) => each.length < 1 || each.length > 255)) return false;
  if (!/^(0|[1-9][0-9]{0,18})$/.test(size) || hash?.length !== 32) return false;
  const [name, log] = names.map((each) => join(Uint8Array.of(each.length), each));
  return mldsa44(witness.key, join(text.encode("subtree/v1\n\0"), name, u64(at), log, u64(0), u64(size), hash), signature);
}

/** Verify that an entry is in a log; `proof` is the answer of GET /v1/log/LOG/proof. */
export async function verifyEntry(proof, keys, witnesses = [], quorum = 0) {
  const sealed = await openCheckpoint(proof?.checkpoint ?? "", keys, witnesses, quorum);
  const hashes = [proof.leaf_hash, ...(Array.isArray(proof.path) ? proof.path : [null])].map(unbase64);
  if (hashes[0]?.length !== 32) throw new Refused(6, "A hash of the proof is not in base64.", "proof");
  await verifyInclusion(sealed.root, sealed.size, proof.index, hashes[0], hashes.slice(1));
  return { ...sealed, index: proof.index, leaf_hash: hex(hashes[0]) };
}

/** Verify that a log only grew from the old checkpoint to the new one; `proof` is the answer of GET /v1/log/LOG/consistency. */
export async function verifyGrown(oldNote, newNote, proof, keys, witnesses = [], quorum = 0) {
  const old = await openCheckpoint(oldNote, keys);
  const now = await openCheckpoint(newNote, keys, witnesses, quorum);
  if (old.origin !== now.origin) throw new Refused(5, "The two checkpoints are of two logs.", now.origin);
  if (now.size < old.size) throw new Refused(6, "The log has become shorter: it was rolled back.", "size");
  if (now.size === old.size && !same(old.root, now.root))
    throw new Refused(6, "Two checkpoints of one size have two roots: the log was forked.", "root");
  const hashes = (Array.isArray(proof?.proof) ? proof.proof : [null]).map(unbase64);
  await verifyConsistency(old.root, old.size, now.root, now.size, hashes);
  return { origin: now.origin, old: old.size, new: now.size, witnesses: now.witnesses };
}

// -- ML-DSA-44 (FIPS 204), verifying alone --

const Q = 8380417;
const ROUNDS = (() => {
  const constants = [];
  for (let round = 0, state = 1; round < 24; round++) {
    let value = 0n;
    for (let bit = 0; bit < 7; bit++) {
      if (state & 1) value |= 1n << BigInt((1 << bit) - 1);
      state = (state << 1) ^ (state & 0x80 ? 0x171 : 0);
    }
    constants.push(value);
  }
  return constants;
})();
const W64 = (1n << 64n) - 1n;
const turn = (value, by) => (by ? ((value << by) | (value >> (64n - by))) & W64 : value);

function keccak(a) {
  for (const constant of ROUNDS) {
    const c = [0, 1, 2, 3, 4].map((x) => a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]);
    for (let x = 0; x < 5; x++) {
      const d = c[(x + 4) % 5] ^ turn(c[(x + 1) % 5], 1n);
      for (let y = 0; y < 25; y += 5) a[x + y] ^= d;
    }
    let x = 1, y = 0, held = a[1];
    for (let t = 0; t < 24; t++) {
      [x, y] = [y, (2 * x + 3 * y) % 5];
      const next = a[x + 5 * y];
      a[x + 5 * y] = turn(held, BigInt((((t + 1) * (t + 2)) / 2) % 64));
      held = next;
    }
    for (y = 0; y < 25; y += 5) {
      const row = a.slice(y, y + 5);
      for (x = 0; x < 5; x++) a[x + y] = row[x] ^ (~row[(x + 1) % 5] & W64 & row[(x + 2) % 5]);
    }
    a[0] ^= constant;
  }
}

/** SHAKE128 (rate 168) or SHAKE256 (rate 136) of the parts, as an endless stream of bytes. */
function* shake(rate, ...parts) {
  const input = join(...parts);
  const padded = new Uint8Array((Math.floor(input.length / rate) + 1) * rate);
  padded.set(input);
  padded[input.length] ^= 0x1f;
  padded[padded.length - 1] ^= 0x80;
  const state = new BigUint64Array(25);
  const view = new DataView(padded.buffer);
  for (let block = 0; block < padded.length; block += rate) {
    for (let lane = 0; lane < rate / 8; lane++) state[lane] ^= view.getBigUint64(block + 8 * lane, true);
    keccak(state);
  }
  const out = new DataView(new ArrayBuffer(8));
  for (;;) {
    for (let lane = 0; lane < rate / 8; lane++) {
      out.setBigUint64(0, state[lane], true);
      for (let at = 0; at < 8; at++) yield out.getUint8(at);
    }
    keccak(state);
  }
}

function take(stream, count) {
  return Uint8Array.from({ length: count }, () => stream.next().value);
}

/** Read integers of `bits` bits, lowest bit first. */
function unpack(bytes, bits) {
  const found = [];
  for (let at = 0, held = 0, count = 0; at < bytes.length; at++) {
    held += bytes[at] * 2 ** count;
    for (count += 8; count >= bits; count -= bits) {
      found.push(held % 2 ** bits);
      held = Math.floor(held / 2 ** bits);
    }
  }
  return found;
}

const ZETAS = Array.from({ length: 256 }, (_, at) => {
  let power = 0;
  for (let bit = 0; bit < 8; bit++) power |= ((at >> bit) & 1) << (7 - bit);
  let value = 1;
  for (let n = 0; n < power; n++) value = (value * 1753) % Q;
  return value;
});

function ntt(poly) {
  const w = [...poly];
  for (let m = 0, len = 128; len >= 1; len >>= 1)
    for (let start = 0; start < 256; start += 2 * len) {
      const zeta = ZETAS[++m];
      for (let j = start; j < start + len; j++) {
        const t = (zeta * w[j + len]) % Q;
        w[j + len] = (w[j] - t + Q) % Q;
        w[j] = (w[j] + t) % Q;
      }
    }
  return w;
}

function back(poly) {
  const w = [...poly];
  for (let m = 256, len = 1; len < 256; len <<= 1)
    for (let start = 0; start < 256; start += 2 * len) {
      const zeta = Q - ZETAS[--m];
      for (let j = start; j < start + len; j++) {
        const t = w[j];
        w[j] = (t + w[j + len]) % Q;
        w[j + len] = (zeta * (t - w[j + len] + Q)) % Q;
      }
    }
  return w.map((value) => (value * 8347681) % Q);
}

function sample(rho, s, r) {
  const stream = shake(168, rho, Uint8Array.of(s, r));
  const poly = [];
  while (poly.length < 256) {
    const value = stream.next().value + 256 * stream.next().value + 65536 * (stream.next().value & 127);
    if (value < Q) poly.push(value);
  }
  return poly;
}

function challenge(seed) {
  const stream = shake(136, seed);
  const signs = unpack(take(stream, 8), 1);
  const poly = new Array(256).fill(0);
  for (let i = 217; i < 256; i++) {
    let j = stream.next().value;
    while (j > i) j = stream.next().value;
    poly[i] = poly[j];
    poly[j] = signs[i - 217] ? Q - 1 : 1;
  }
  return poly;
}

/** Read the hints; null when they are not in their one form. */
function hints(bytes) {
  const found = [];
  let at = 0;
  for (let i = 0; i < 4; i++) {
    const end = bytes[80 + i], row = new Set();
    if (end < at || end > 80) return null;
    for (let first = at; at < end; at++) {
      if (at > first && bytes[at - 1] >= bytes[at]) return null;
      row.add(bytes[at]);
    }
    found.push(row);
  }
  return bytes.subarray(at, 80).some((byte) => byte) ? null : found;
}

function highBits(value, hint) {
  const width = 190464;
  let low = value % width;
  if (low > width / 2) low -= width;
  let high = (value - low) / width;
  if (value - low === Q - 1) [high, low] = [0, low - 1];
  return hint ? (high + (low > 0 ? 1 : 43)) % 44 : high;
}

/** Verify an ML-DSA-44 signature with the empty context. Source: FIPS 204, algorithms 3 and 8. */
export function mldsa44(key, message, signature) {
  if (key.length !== 1312 || signature.length !== 2420) return false;
  const rows = [0, 1, 2, 3];
  const z = rows.map((i) => unpack(signature.subarray(32 + 576 * i, 608 + 576 * i), 18).map((value) => 131072 - value));
  const h = hints(signature.subarray(2336));
  if (!h || z.some((poly) => poly.some((value) => Math.abs(value) >= 131072 - 78))) return false;
  const mu = take(shake(136, take(shake(136, key), 64), Uint8Array.of(0, 0), message), 64);
  const c = ntt(challenge(signature.subarray(0, 32)));
  const zs = z.map((poly) => ntt(poly.map((value) => (value + Q) % Q)));
  const w = new Uint8Array(768);
  for (const i of rows) {
    const t = ntt(unpack(key.subarray(32 + 320 * i, 352 + 320 * i), 10).map((value) => value * 8192));
    const sum = t.map((value, n) => Q - ((value * c[n]) % Q));
    for (const j of rows) sample(key.subarray(0, 32), j, i).forEach((value, n) => (sum[n] = (sum[n] + value * zs[j][n]) % Q));
    back(sum).forEach((value, n) => {
      const six = highBits(value, h[i].has(n)), bit = 6 * n;
      for (let k = 0; k < 6; k++) w[192 * i + ((bit + k) >> 3)] |= ((six >> k) & 1) << ((bit + k) & 7);
    });
  }
  return same(take(shake(136, mu, w), 32), signature.subarray(0, 32));
}

// -- command line --

const STEPS = ["", "form", "key", "signature", "statement", "inclusion", "leaf", "document"];
const LOG_STEPS = ["", "form", "signatures", "key", "checkpoint", "log", "proof", "witnesses"];
const WANTS = { receipt: 1, checkpoint: 1, entry: 1, grown: 3 };

async function main(given, read, say) {
  const options = { key: null, witness: null, quorum: "0" }, files = [];
  for (let at = 0; at < given.length; at++) {
    const name = given[at].startsWith("--") ? given[at].slice(2) : null;
    if (name === null) files.push(given[at]);
    else if (name in options && at + 1 < given.length) options[name] = given[++at];
    else return usage(say);
  }
  const what = files.length > 1 && files[0] in WANTS ? files.shift() : "receipt";
  if (files.length !== WANTS[what] || !options.key || !/^[0-9]{1,3}$/.test(options.quorum)) return usage(say);
  try {
    const keys = await parseKeys(new TextDecoder().decode(await read(options.key)));
    const witnesses = options.witness ? await parseKeys(new TextDecoder().decode(await read(options.witness))) : [];
    const more = [keys, witnesses, Number(options.quorum)];
    const [first, second, third] = await Promise.all(files.map(read));
    const json = (bytes) => {
      try {
        return JSON.parse(new TextDecoder().decode(bytes));
      } catch {
        throw new Refused(1, "This is not the JSON of a proof.", "proof");
      }
    };
    let found;
    if (what === "receipt") found = await verifyReceipt(new Uint8Array(first), keys);
    else if (what === "checkpoint") found = await openCheckpoint(new Uint8Array(first), ...more);
    else if (what === "entry") found = await verifyEntry(json(first), ...more);
    else found = await verifyGrown(new Uint8Array(first), new Uint8Array(second), json(third), ...more);
    say(`PROVED ${what}\n${JSON.stringify(found, (_, value) => (value instanceof Uint8Array ? hex(value) : value), 1)}`);
    return 0;
  } catch (error) {
    const steps = what === "receipt" ? STEPS : LOG_STEPS;
    if (error instanceof Refused) say(`REFUSED step ${error.step} (${steps[error.step]}): ${error.message} [${error.where}]`);
    else say(`REFUSED: ${error.message}`);
    return error instanceof Refused ? 1 : 2;
  }
}

function usage(say) {
  say("usage: verify.mjs [receipt|checkpoint|entry|grown] FILE… --key FILE [--witness FILE] [--quorum N]");
  return 2;
}

if (typeof process === "object" && process.versions?.node && process.argv[1]) {
  const [{ readFile, realpath }, { pathToFileURL }] = await Promise.all([import("node:fs/promises"), import("node:url")]);
  const started = await realpath(process.argv[1]).catch(() => process.argv[1]);
  if (import.meta.url === pathToFileURL(started).href)
    process.exitCode = await main(process.argv.slice(2), (file) => readFile(file), (line) => console.log(line));
}
