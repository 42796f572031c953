// The tree of keys. A level is read when it is opened, a page at a time, so the cost does not
// depend on the number of keys; changes are applied one by one to the shown entries. For the
// keyboard it is WAI-ARIA's tree: one stop of the Tab key, and arrows within. While keys are marked
// it is a list of lists instead.
import { h, fill, failure } from './dom.js';
import { get } from './api.js';
import { fromB64, toB64, show, plain, indexOf, startsWith } from './bytes.js';
import { list, rover } from './keyboard.js';
import { marker, choose as select, treeRoles } from './marks.js';

const pageSize = 200;
const shownMost = 4000; // entries of a level; loading more removes the first ones from the page

function compare(a, b) {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

// makeTree shows the entries below a prefix (bytes). It calls open(key in base64) for the key that
// the user chooses.
export function makeTree({ prefix, separator, open, marks, signal }) {
  let chosen = '';
  const roles = (all) => treeRoles(marks, all);
  const box = h('div', { class: 'panel treebox' });
  const seen = new IntersectionObserver(
    (all) =>
      all.forEach((e) => {
        if (e.isIntersecting) e.target.level?.load();
      }),
    { root: box, rootMargin: '200px' },
  );
  const settle = rover(box, '.node');
  const top = makeLevel(prefix);
  box.append(top.el);
  const loaded = top.load();

  list(box, '.node', (e, node) => {
    const item = node.item;
    if (!item) return;
    const expanded = node.getAttribute('aria-expanded') === 'true';
    if ((e.key === 'ArrowRight' || e.key === 'l') && item.child.branch) {
      e.preventDefault();
      if (!expanded) toggle(item);
      else item.below?.el.querySelector('.node')?.focus();
    } else if (e.key === 'ArrowLeft' || e.key === 'h') {
      e.preventDefault();
      if (expanded) toggle(item);
      else item.level.owner?.node.focus();
    }
  });

  function makeLevel(under, owner) {
    const ul = h(
      'ul',
      owner
        ? { class: 'tree', ...roles({ role: 'group' }), 'aria-label': plain(under).slice(0, 200) }
        : { class: 'tree', ...roles({ role: 'tree' }), 'aria-label': 'Keys', hidden: true },
    );
    const foot = h(owner ? 'ul' : 'div', owner ? { class: 'tree', role: 'none' } : {});
    const inFoot = (el) => fill(foot, el && owner ? h('li', { role: 'none' }, el) : el);
    const depth = owner ? owner.level.depth + 1 : 1;
    const level = {
      under,
      owner,
      depth,
      items: new Map(),
      el: h('div', {}, ul, foot),
      next: '',
      busy: false,
      all: false,
      cut: false,
      load,
      apply,
      reload,
      recheck,
    };
    let more = null;

    async function load() {
      if (level.busy || level.all) return;
      level.busy = true;
      const goesOn = more && more === document.activeElement;
      if (more) {
        more.disabled = true;
        more.textContent = 'Loading…';
      } else inFoot(h('span', { class: 'empty' }, 'Loading…'));
      try {
        const p = await get(
          'tree',
          { prefix: toB64(under), separator: toB64(separator), from: level.next, limit: pageSize },
          signal,
        );
        for (const c of p.children) put(c);
        level.next = p.next || '';
        level.all = !p.next;
        trim();
        end();
        const first = p.children[0];
        if (goesOn && first) level.items.get((first.branch ? 'b' : 'k') + first.key)?.node.focus();
      } catch (err) {
        if (err.name !== 'AbortError')
          inFoot(
            failure(err, () => {
              level.busy = false;
              load();
            }),
          );
        more = null;
      } finally {
        level.busy = false;
      }
    }

    function end() {
      if (more) seen.unobserve(more);
      more = null;
      if (!level.all) {
        more = h(
          'button',
          {
            type: 'button',
            onclick: load,
            ...(owner
              ? { class: 'node more', tabindex: -1, ...roles({ role: 'treeitem', 'aria-level': depth }) }
              : { class: 'more small' }),
          },
          `Show more (${level.items.size} so far)`,
        );
        more.level = level;
        inFoot(more);
        seen.observe(more);
      } else
        inFoot(
          level.items.size
            ? null
            : h('span', { class: 'empty' }, owner ? 'Nothing is left here.' : 'There are no keys here.'),
        );
      if (!owner) ul.hidden = !level.items.size;
      settle();
    }

    function trim() {
      if (level.items.size <= shownMost) return;
      if (!level.cut) {
        level.cut = true;
        level.el.prepend(
          h(
            'button',
            {
              type: 'button',
              class: 'more small',
              onclick: (e) => {
                e.currentTarget.remove();
                reload();
              },
            },
            'Back to the first keys',
          ),
        );
      }
      for (const [id, item] of level.items) {
        if (level.items.size <= shownMost - pageSize) break;
        remove(id, item);
      }
    }

    function reload() {
      ul.replaceChildren();
      level.items.clear();
      Object.assign(level, { next: '', all: false, cut: false });
      more = null;
      load();
    }

    function remove(id, item) {
      if (item.node === document.activeElement)
        (item.el.nextElementSibling || item.el.previousElementSibling)?.querySelector('.node')?.focus();
      item.el.remove();
      level.items.delete(id);
      settle();
    }

    // put adds an entry at its place, if it is missing.
    function put(child) {
      const id = (child.branch ? 'b' : 'k') + child.key;
      if (level.items.has(id)) return;
      const item = makeItem(child, level);
      let before = null;
      if (ul.lastElementChild && compare(item.key, ul.lastElementChild.item.key) < 0) {
        let [low, high] = [0, ul.children.length];
        while (low < high) {
          const mid = (low + high) >> 1;
          if (compare(ul.children[mid].item.key, item.key) < 0) low = mid + 1;
          else high = mid;
        }
        if (low === 0 && level.cut) return;
        before = ul.children[low];
      }
      ul.insertBefore(item.el, before);
      level.items.set(id, item);
      ul.hidden = false;
      settle();
    }

    // apply applies a change of a key to this level and to open levels below. change has the key's
    // revision and lease.
    function apply(key, deleted, change) {
      if (!startsWith(key, under)) return;
      const i = separator.length ? indexOf(key, separator, under.length) : -1;
      const branch = i >= 0;
      const part = branch ? key.subarray(0, i + separator.length) : key;
      const b64 = toB64(part);
      const id = (branch ? 'b' : 'k') + b64;
      const item = level.items.get(id);
      if (item) {
        item.below?.apply(key, deleted, change);
        if (!deleted && !branch) item.child.mod = change.mod;
        if (deleted) branch ? recheck(id, item) : remove(id, item);
      } else if (!deleted && (level.all || (level.next && compare(part, fromB64(level.next)) < 0))) {
        put(branch ? { key: b64, branch } : { key: b64, branch, mod: change.mod, leased: Boolean(change.lease) });
        if (level.all) end();
      }
      if (deleted && level.all) end();
    }

    // recheck asks whether a branch still has keys.
    async function recheck(id, item) {
      if (item.checking) return;
      item.checking = true;
      try {
        const p = await get('tree', { prefix: item.child.key, limit: 1 }, signal);
        if (!p.children.length && level.items.get(id) === item) {
          remove(id, item);
          end();
        }
      } catch {
        /* it stays until it is opened */
      }
      item.checking = false;
    }
    return level;
  }

  function makeItem(child, level) {
    const key = fromB64(child.key);
    const item = { child, level, key, below: null };
    const name = key.subarray(level.under.length);
    item.node = h(
      'button',
      {
        type: 'button',
        class: 'node',
        title: plain(key).slice(0, 500),
        ...roles({ role: 'treeitem', 'aria-level': level.depth }),
        tabindex: -1,
        'aria-expanded': child.branch ? 'false' : null,
        onclick: () => (child.branch ? toggle(item) : choose(item)),
      },
      h('span', { class: 'twist', 'aria-hidden': 'true' }, child.branch ? '▸' : ''),
      h('span', { class: 'name' }, name.length ? show(name) : h('i', { class: 'muted' }, '(the prefix itself)')),
      child.leased ? h('span', { class: 'note' }, 'lease') : null,
    );
    item.node.item = item;
    if (!child.branch) select(item.node, child.key === chosen);
    item.el = h('li', roles({ role: 'none' }), child.branch ? null : marker(marks, child, item.node), item.node);
    item.el.item = item;
    return item;
  }

  function toggle(item) {
    const opens = !item.below;
    item.node.setAttribute('aria-expanded', String(opens));
    item.node.querySelector('.twist').textContent = opens ? '▾' : '▸';
    if (opens) {
      item.below = makeLevel(item.key, item);
      item.below.el.style.paddingLeft = '1.05rem';
      item.el.append(item.below.el);
      item.below.load();
    } else {
      item.below.el.remove();
      item.below = null;
      settle();
    }
  }

  function choose(item) {
    mark(item.child.key);
    open(item.child.key);
  }

  function mark(b64) {
    chosen = b64;
    for (const n of box.querySelectorAll('.node')) {
      if (!n.item || n.item.child.branch) continue;
      select(n, n.item.child.key === b64);
    }
  }

  return {
    el: box,
    mark,
    // focus moves to the first entry when it has been loaded.
    async focus() {
      await loaded;
      box.querySelector('.node')?.focus();
    },
    // notice applies a batch of changes; if the batch does not list all, it reads the top level
    // again.
    notice(batch) {
      for (const c of batch.changes) top.apply(fromB64(c.key), c.type === 'delete', c);
      if (
        (batch.dropped || batch.gap) &&
        !top.cut &&
        top.items.size <= pageSize &&
        ![...top.items.values()].some((i) => i.below)
      ) {
        if (!top.stale) {
          top.stale = true;
          setTimeout(() => {
            top.stale = false;
            refresh();
          }, 1000);
        }
      }
    },
  };

  // refresh reads the first page of the top level again, without moving entries that stay.
  async function refresh() {
    if (signal.aborted || top.busy) return;
    try {
      const p = await get('tree', { prefix: toB64(prefix), separator: toB64(separator), limit: pageSize }, signal);
      const now = new Set(p.children.map((c) => (c.branch ? 'b' : 'k') + c.key));
      for (const [id, item] of [...top.items])
        if (!now.has(id) && !(p.next && compare(item.key, fromB64(p.next)) >= 0)) {
          item.el.remove();
          top.items.delete(id);
        }
      settle();
      if (!p.children.length || top.all !== !p.next) top.reload();
      else
        for (const c of p.children) {
          const item = top.items.get((c.branch ? 'b' : 'k') + c.key);
          if (item) item.child.mod = c.mod;
          else top.apply(fromB64(c.key), false, c);
        }
    } catch {
      /* the next change tries again */
    }
  }
}
