// Keys and values are bytes. They travel as base64 and are shown as text in which nothing is
// hidden: control characters, characters that change the direction of text or have no width, and
// bytes that are not UTF-8 are escaped.

export function fromB64(s) {
  if (!s) return new Uint8Array(0);
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(s);
  const raw = atob(s);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

export function toB64(bytes) {
  if (bytes.toBase64) return bytes.toBase64();
  let s = '';
  for (let i = 0; i < bytes.length; i += 8192) s += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(s);
}

// for URLs
export const toURL = (b64) => b64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
export function fromURL(s) {
  const b = (s || '').replaceAll('-', '+').replaceAll('_', '/');
  return b + '='.repeat((4 - (b.length % 4)) % 4);
}

export const encode = (text) => new TextEncoder().encode(text);

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// decode returns bytes as text; null if they are not UTF-8.
export function decode(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

export function equal(a, b) {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function startsWith(a, b) {
  return a.length >= b.length && equal(a.subarray(0, b.length), b);
}

export function indexOf(a, b, from) {
  outer: for (let i = from; i + b.length <= a.length; i++) {
    for (let j = 0; j < b.length; j++) if (a[i + j] !== b[j]) continue outer;
    return i;
  }
  return -1;
}

const hidden = new RegExp(
  '[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b-\\u200f\\u2028-\\u202e' +
    '\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\ud800-\\udfff]|\\u{e0001}|[\\u{e0020}-\\u{e007f}]',
  'gu',
);
const names = { '\n': '\\n', '\t': '\\t', '\r': '\\r' };

function spell(c) {
  if (names[c]) return names[c];
  const code = c.codePointAt(0);
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
  return `\\u{${code.toString(16)}}`;
}

// pieces cuts bytes into runs of plain text and escaped characters: [text, escaped].
export function pieces(bytes, multiline) {
  const out = [];
  const text = decode(bytes);
  const plain = (s) => {
    let at = 0;
    for (const m of s.matchAll(hidden)) {
      if (multiline && (m[0] === '\n' || m[0] === '\t')) continue;
      if (m.index > at) out.push([s.slice(at, m.index), false]);
      out.push([spell(m[0]), true]);
      at = m.index + m[0].length;
    }
    if (at < s.length) out.push([s.slice(at), false]);
  };
  if (text !== null) {
    plain(text);
    return out;
  }
  for (let i = 0; i < bytes.length;) {
    // UTF-8 as text, the rest as bytes
    let end = i;
    for (let n; end < bytes.length && (n = sequence(bytes, end)) > 0;) end += n;
    if (end > i) plain(strict.decode(bytes.subarray(i, end)));
    let bad = '';
    for (i = end; i < bytes.length && sequence(bytes, i) === 0; i++)
      bad += `\\x${bytes[i].toString(16).padStart(2, '0')}`;
    if (bad) out.push([bad, true]);
  }
  return out;
}

// sequence returns the length of the UTF-8 sequence at i, 0 if there is none.
function sequence(b, i) {
  const c = b[i];
  if (c < 0x80) return 1;
  const n = c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
  if (!n || i + n > b.length) return 0;
  for (let j = 1; j < n; j++) if ((b[i + j] & 0xc0) !== 0x80) return 0;
  if (
    (c === 0xe0 && b[i + 1] < 0xa0) ||
    (c === 0xed && b[i + 1] > 0x9f) ||
    (c === 0xf0 && b[i + 1] < 0x90) ||
    (c === 0xf4 && b[i + 1] > 0x8f)
  )
    return 0;
  return n;
}

// show returns bytes as a fragment for the page.
export function show(bytes, multiline) {
  const f = document.createDocumentFragment();
  for (const [text, spelled] of pieces(bytes, multiline)) {
    if (!spelled) {
      f.append(text);
      continue;
    }
    const s = document.createElement('span');
    s.className = 'ctl';
    s.textContent = text;
    f.append(s);
  }
  return f;
}

// plain returns the same as a string, for attributes.
export const plain = (bytes) =>
  pieces(bytes)
    .map((p) => p[0])
    .join('');

// write returns bytes as a user types them: with a backslash doubled, so that read gets them back.
export function write(bytes) {
  return pieces(bytes)
    .map(([t, spelled]) => (spelled ? t : t.replaceAll('\\', '\\\\')))
    .join('');
}

// read returns the bytes that a user typed: \n \t \r \\ \xNN and \u{N} are escapes, a lone
// backslash stands for itself.
export function read(text) {
  const out = [];
  const parts = text.matchAll(/\\x([0-9a-fA-F]{2})|\\u\{([0-9a-fA-F]{1,6})\}|\\([ntr\\])|[^\\]+|\\/g);
  for (const [all, hex, code, short] of parts) {
    if (hex) out.push(parseInt(hex, 16));
    else if (code && parseInt(code, 16) <= 0x10ffff) out.push(...encode(String.fromCodePoint(parseInt(code, 16))));
    else if (short) out.push({ n: 10, t: 9, r: 13, '\\': 92 }[short]);
    else for (const b of encode(all)) out.push(b);
  }
  return new Uint8Array(out);
}

// hex returns the usual dump of bytes: offset, sixteen bytes, their characters.
export function hex(bytes, from = 0, most = Infinity) {
  const lines = [];
  const end = Math.min(bytes.length, from + most);
  for (let i = from; i < end; i += 16) {
    const part = bytes.subarray(i, Math.min(i + 16, end));
    let digits = '';
    let text = '';
    for (let j = 0; j < 16; j++) {
      digits += j < part.length ? `${part[j].toString(16).padStart(2, '0')} ` : '   ';
      if (j === 7) digits += ' ';
      if (j < part.length) text += part[j] >= 32 && part[j] < 127 ? String.fromCharCode(part[j]) : '.';
    }
    lines.push(`${i.toString(16).padStart(8, '0')}  ${digits} ${text}`);
  }
  return lines.join('\n');
}

// digits returns bytes as hexadecimal digits to edit; unhex parses them, and returns null if they
// are invalid.
export function digits(bytes) {
  const out = [];
  for (let i = 0; i < bytes.length; i += 16)
    out.push([...bytes.subarray(i, i + 16)].map((b) => b.toString(16).padStart(2, '0')).join(' '));
  return out.join('\n');
}

export function unhex(text) {
  const s = text.replace(/\s+/g, '');
  if (s.length % 2 || /[^0-9a-fA-F]/.test(s)) return null;
  const out = new Uint8Array(s.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = parseInt(s.substr(2 * i, 2), 16);
  return out;
}

// json formats the text of a JSON value; null if it is invalid. Numbers stay as they are written:
// parsing would round large ones.
export function json(text) {
  if (text === null || text.length > 4 << 20) return null;
  const t = text.trim();
  if (!/^[[{"\-0-9tfn]/.test(t)) return null;
  try {
    JSON.parse(t);
  } catch {
    return null;
  }
  let out = '';
  let depth = 0;
  const line = () => `\n${'  '.repeat(Math.min(depth, 100))}`;
  for (let i = 0; i < t.length;) {
    const c = t[i];
    if (c === '"') {
      let j = i + 1;
      while (t[j] !== '"') j += t[j] === '\\' ? 2 : 1;
      out += t.slice(i, j + 1);
      i = j + 1;
      continue;
    }
    if (c === '{' || c === '[') {
      const rest = /^\s*[}\]]/.exec(t.slice(i + 1, i + 200));
      if (rest) {
        out += c + rest[0].trim();
        i += 1 + rest[0].length;
        continue;
      }
      depth++;
      out += c + line();
    } else if (c === '}' || c === ']') {
      depth--;
      out += line() + c;
    } else if (c === ',') out += c + line();
    else if (c === ':') out += ': ';
    else if (!/\s/.test(c)) out += c;
    i++;
  }
  return out;
}
