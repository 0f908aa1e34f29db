// Read status lists of this register with the libraries of others. Usage: node status_lists.mjs FOLDER
import { readFileSync } from "node:fs";
import { createPublicKey, verify } from "node:crypto";
import { getListFromStatusListJWT } from "@sd-jwt/jwt-status-list";
import { decodeList } from "@digitalbazaar/vc-bitstring-status-list";

const folder = process.argv[2];
const text = (name) => readFileSync(`${folder}/${name}`, "utf8");
const expected = JSON.parse(text("expected.json"));
const key = createPublicKey({ key: JSON.parse(text("jwk.json")), format: "jwk" });

function claims(token) {
  const [head, body, signature] = token.split(".");
  const sound = verify("sha256", Buffer.from(`${head}.${body}`), { key, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url"));
  if (!sound) throw new Error("the signature does not hold");
  return JSON.parse(Buffer.from(body, "base64url").toString());
}

const SIZE = 131072;
const token = text("list.jwt");
claims(token);
const list = getListFromStatusListJWT(token);
let wrong = 0;
for (let place = 0; place < SIZE; place++) if (list.getStatus(place) !== (expected[place] ?? 0)) wrong++;
const credential = claims(text("list.vc"));
const bits = await decodeList({ encodedList: credential.credentialSubject.encodedList });
for (let place = 0; place < SIZE; place++) if (bits.getStatus(place) !== ((expected[place] ?? 0) === 1)) wrong++;
console.log(JSON.stringify({ entries: 2 * SIZE, set: Object.keys(expected).length, wrong }));
process.exit(wrong ? 1 : 0);
