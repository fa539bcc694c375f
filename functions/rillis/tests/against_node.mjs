// The oracle of against_node.rs: a text in hex per line comes in; per line goes out "refused", or what JavaScript makes
// of the text in three spellings, each in hex: stringified, rebuilt, built.
import { isUtf8 } from "node:buffer";
import { once } from "node:events";
import { createInterface } from "node:readline";

for await (const line of createInterface({ input: process.stdin })) {
  if (!process.stdout.write(`${answer(Buffer.from(line, "hex"))}\n`)) await once(process.stdout, "drain");
}

function answer(text) {
  if (!isUtf8(text)) return "refused";
  let value;
  try {
    value = JSON.parse(text.toString("utf8"));
  } catch {
    return "refused";
  }
  return [JSON.stringify(value), JSON.stringify(rebuilt(value)), built(value)].map(toHex).join(" ");
}

function rebuilt(value) {
  if (Array.isArray(value)) return value.map(rebuilt);
  if (value === null || typeof value !== "object") return value;
  const sorted = {};
  for (const key of Object.keys(value).sort()) sorted[key] = rebuilt(value[key]);
  return sorted;
}

function built(value) {
  if (Array.isArray(value)) return `[${value.map(built).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const member = (key) => `${JSON.stringify(key)}:${built(value[key])}`;
  return `{${Object.keys(value).sort().map(member).join(",")}}`;
}

function toHex(text) {
  return Buffer.from(text, "utf8").toString("hex");
}
