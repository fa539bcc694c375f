// Decrypts each line of standard input, as somebody who knows the key and the layout would: {mode, key, layout, body}.
import { createDecipheriv } from 'node:crypto';
import { createInterface } from 'node:readline';

const LENGTHS = { gcm: { iv: 12, tag: 16 }, cbc: { iv: 16, tag: 0 } };

function read(layout, body, found, lengths) {
  if (typeof layout === 'object' && layout !== null) {
    for (const name of Object.keys(layout)) read(layout[name], body[name], found, lengths);
    return;
  }
  if (typeof layout !== 'string') return;
  const names = [];
  const pattern = layout.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{([a-z\\+]+):(base64|hex)\}/g, (_, parts, encoding) => {
    const placed = parts.split('\\+');
    names.push([placed, encoding]);
    // The ciphertext alone may have any length.
    const bytes = placed.reduce((sum, part) => sum + (lengths[part] ?? Infinity), 0);
    const length = encoding === 'hex' ? 2 * bytes : 4 * Math.ceil(bytes / 3);
    return `(${encoding === 'hex' ? '[0-9a-f]' : '[A-Za-z0-9+/=]'}${Number.isFinite(length) ? `{${length}}` : '*'})`;
  });
  const texts = new RegExp(`^${pattern}$`).exec(body).slice(1);
  names.forEach(([parts, encoding], at) => {
    let bytes = Buffer.from(texts[at], encoding);
    for (const part of parts) {
      const rest = parts.includes('tag') && part === 'ciphertext' ? bytes.length - lengths.tag : bytes.length;
      const length = part === 'ciphertext' ? rest : lengths[part];
      found[part] = bytes.subarray(0, length);
      bytes = bytes.subarray(length);
    }
    if (bytes.length > 0) throw new Error(`${bytes.length} bytes too many`);
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const { mode, key, layout, body } = JSON.parse(line);
  const found = {};
  read(layout, typeof layout === 'string' ? body : JSON.parse(body), found, LENGTHS[mode]);
  const decipher = createDecipheriv(`aes-256-${mode}`, Buffer.from(key, 'utf8'), found.iv);
  if (mode === 'gcm') decipher.setAuthTag(found.tag);
  const text = Buffer.concat([decipher.update(found.ciphertext), decipher.final()]).toString('utf8');
  console.log(JSON.stringify({ iv: found.iv.toString('hex'), ciphertext: found.ciphertext.toString('hex'), text }));
}
