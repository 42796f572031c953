// A value as text, JSON or hex. Large ones are shown in part; the user can ask for all.
import { h, fill, bytesText } from './dom.js';
import { decode, json, show, hex, encode } from './bytes.js';

export const forms = [
  ['text', 'Text'],
  ['json', 'JSON'],
  ['hex', 'Hex'],
];
const textFirst = 64 << 10;
const hexFirst = 4 << 10;
const blockBytes = 4 << 10;

export function bestForm(bytes) {
  const text = decode(bytes);
  if (text === null) return 'hex';
  if (/^\s*[[{]/.test(text) && json(text) !== null) return 'json';
  const odd = (text.slice(0, 4096).match(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g) || []).length;
  return odd > text.length / 10 ? 'hex' : 'text';
}

export function valueView(bytes, form) {
  if (!bytes.length) return h('p', { class: 'empty' }, 'The value is empty.');
  const box = h('div');
  draw(form === 'hex' ? hexFirst : textFirst);
  function draw(most) {
    let all = bytes;
    if (form === 'json') {
      const text = json(decode(bytes));
      if (text === null) form = 'text';
      else all = encode(text);
    }
    const cut = all.length > most;
    fill(
      box,
      form === 'hex'
        ? h('pre', { class: 'value hex', tabindex: 0 }, hex(all, 0, most))
        : h('pre', { class: 'value', tabindex: 0 }, inBlocks(cut ? wholeCharacters(all, most) : all)),
      cut
        ? h(
            'p',
            {},
            h('span', { class: 'muted' }, `${bytesText(most)} of ${bytesText(all.length)} are shown. `),
            h('button', { type: 'button', class: 'small', onclick: () => draw(Infinity) }, 'Show all'),
          )
        : null,
    );
  }
  return box;
}

// brief shows the beginning of a text, with its whole size: a megabyte in a list would make each
// click wait for seconds.
export function brief(text, most = 1000) {
  const all = encode(text);
  if (all.length <= most) return show(all);
  return h('span', {}, show(wholeCharacters(all, most)), h('span', { class: 'muted' }, `… (${bytesText(all.length)})`));
}

// inBlocks returns a long text in parts, which the browser skips while they are out of sight.
function inBlocks(bytes) {
  if (bytes.length <= blockBytes) return show(bytes, true);
  const parts = [];
  for (let at = 0; at < bytes.length;) {
    let end = bytes.indexOf(10, Math.min(bytes.length, at + blockBytes)) + 1; // whole lines
    if (!end) end = bytes.length;
    parts.push(h('div', { class: 'block' }, show(bytes.subarray(at, end), true)));
    at = end;
  }
  return parts;
}

// wholeCharacters returns where to cut so that no character is split.
function wholeCharacters(bytes, most) {
  let end = most;
  while (end > most - 4 && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}
