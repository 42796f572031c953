// What permissions cover.
import { fromB64 } from './bytes.js';

// prefixEnd returns the end of a prefix's keys.
export function prefixEnd(b) {
  for (let i = b.length - 1; i >= 0; i--)
    if (b[i] < 255) {
      const e = b.slice(0, i + 1);
      e[i]++;
      return e;
    }
  return new Uint8Array([0]);
}

function compare(a, b) {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

// covers reports whether a permission applies to a key (bytes).
export function covers(p, key) {
  const [begin, end] = [fromB64(p.key), fromB64(p.end)];
  if (!end.length) return compare(begin, key) === 0;
  return compare(begin, key) <= 0 && ((end.length === 1 && end[0] === 0) || compare(key, end) < 0);
}

// sources returns a user's permissions with the role of each.
export function sources(user, roles) {
  const of = roles.filter((r) => user.roles.includes(r.name));
  return {
    everything: user.roles.includes('root'),
    list: of.flatMap((r) => r.permissions.map((p) => ({ role: r.name, p }))),
  };
}
