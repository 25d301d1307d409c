// The cryptography of a Flow endpoint on Node's crypto module, after Meta's sample endpoint: an implementation that
// shares nothing with ours. Reads a request from standard input, and prints the answer to its ping for each fault.

import { constants, createCipheriv, createDecipheriv, privateDecrypt } from "node:crypto";
import { readFileSync } from "node:fs";

const { privateKey, body } = JSON.parse(readFileSync(0, "utf8"));

const TAG_BYTES = 16;

function decrypt(request) {
  const key = privateDecrypt(
    { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    Buffer.from(request.encrypted_aes_key, "base64"),
  );
  const vector = Buffer.from(request.initial_vector, "base64");
  const data = Buffer.from(request.encrypted_flow_data, "base64");
  const decipher = createDecipheriv("aes-128-gcm", key, vector);
  decipher.setAuthTag(data.subarray(-TAG_BYTES));
  const text = Buffer.concat([decipher.update(data.subarray(0, -TAG_BYTES)), decipher.final()]).toString();
  return { key, vector, payload: JSON.parse(text) };
}

function encrypt(text, key, vector) {
  const cipher = createCipheriv(`aes-${8 * key.length}-gcm`, key, vector);
  return Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]).toString("base64");
}

const { key, vector, payload } = decrypt(JSON.parse(body));
const inverted = Buffer.from(vector.map((byte) => ~byte));
const active = JSON.stringify({ data: { status: "active" } });
const versioned = JSON.stringify({ version: "3.0", data: { status: "active" } });
const proper = encrypt(active, key, inverted);
const answers = {
  proper,
  versioned: encrypt(versioned, key, inverted),
  "in the clear": active,
  "in the clear as base64": Buffer.from(active).toString("base64"),
  "vector not inverted": encrypt(active, key, vector),
  "another key": encrypt(active, Buffer.alloc(16, 7), inverted),
  "AES-256": encrypt(active, Buffer.concat([key, key]), inverted),
  "not active": encrypt(JSON.stringify({ data: { acknowledged: true } }), key, inverted),
  "not JSON": encrypt("active", key, inverted),
  quoted: JSON.stringify(proper),
};
console.log(JSON.stringify({ payload, answers }));
