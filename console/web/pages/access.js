// Users and roles.
import { h, fill, table, row, state, failure } from '../js/dom.js';
import { get } from '../js/api.js';
import { fromB64, show, equal } from '../js/bytes.js';
import { list } from '../js/keyboard.js';

const userColumns = [{ name: 'User' }, { name: 'Roles' }];
const roleColumns = [{ name: 'Role' }, { name: 'May' }, { name: 'Keys' }];
const words = { READ: 'read', WRITE: 'write', READWRITE: 'read and write' };

// prefixEnd is where the keys of a prefix end.
function prefixEnd(b) {
  for (let i = b.length - 1; i >= 0; i--) if (b[i] < 255) { const e = b.slice(0, i + 1); e[i]++; return e; }
  return new Uint8Array([0]);
}

function range(p) {
  const [key, end] = [fromB64(p.key), fromB64(p.end)];
  const open = end.length === 1 && end[0] === 0;
  if (!end.length) return [h('code', {}, show(key)), ' alone'];
  if (open && (!key.length || key.length === 1 && key[0] === 0)) return 'all keys';
  if (open) return ['from ', h('code', {}, show(key)), ' on'];
  if (equal(prefixEnd(key), end)) return ['all that begin with ', h('code', {}, show(key))];
  return ['from ', h('code', {}, show(key)), ' up to, without, ', h('code', {}, show(end))];
}

export function mount(page) {
  const body = h('div', {}, h('p', { class: 'wait' }, 'Loading…'));
  fill(page.root, h('div', { class: 'head' }, h('h1', {}, 'Users and roles'), h('button', { type: 'button', onclick: load }, 'Refresh')), body);
  list(body, 'tr[tabindex]');
  page.every(15000, load);
  load();

  async function load() {
    let a;
    try { a = await get('access', {}, page.signal); } catch (err) {
      if (err.name !== 'AbortError') fill(body, failure(err, load));
      return;
    }
    fill(body,
      h('p', {}, a.enabled ? state('ok', 'Authentication is on.') : state('warn', 'Authentication is off: everybody who reaches etcd may do everything.')),
      a.limited ? h('p', { class: 'notice' }, `Not all of it may be seen here: ${a.limited}`) : null,
      a.more ? h('p', { class: 'notice' }, 'There are more than are shown.') : null,
      a.users.length || a.roles.length ? [
        h('section', { class: 'panel' }, table('Users', userColumns, a.users.map((u) => row(userColumns, [u.name, u.roles.length ? u.roles.map((r) => [h('span', { class: 'tag' }, r), ' ']) : h('span', { class: 'muted' }, 'none')], { tabindex: 0 })))),
        h('section', { class: 'panel' }, table('Roles', roleColumns, a.roles.flatMap((r) => (r.permissions.length ? r.permissions : [null]).map((p, i) => row(roleColumns, [i ? '' : r.name, p ? words[p.type] || p.type : r.name === 'root' ? 'everything' : 'nothing', p ? h('span', {}, range(p)) : ''], { tabindex: 0 })))))]
        : h('p', { class: 'empty' }, 'There are no users and no roles.'));
  }
}
