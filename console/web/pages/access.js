// Users and roles: their permissions, the users with access to a key, and changes, each shown
// before it is made.
import { h, fill, table, row, state, failure, toast } from '../js/dom.js';
import { get, post, me } from '../js/api.js';
import { fromB64, toB64, show, equal, read, encode } from '../js/bytes.js';
import { dialog } from '../js/dialog.js';
import { list } from '../js/keyboard.js';
import { prefixEnd, covers, sources } from '../js/rights.js';

const words = { READ: 'read', WRITE: 'write', READWRITE: 'read and write' };
const text = (s) => show(encode(s));

function range(p) {
  const [key, end] = [fromB64(p.key), fromB64(p.end)];
  const open = end.length === 1 && end[0] === 0;
  if (!end.length) return [h('code', {}, show(key)), ' alone'];
  if (open && (!key.length || (key.length === 1 && key[0] === 0))) return 'all keys';
  if (open) return ['from ', h('code', {}, show(key)), ' on'];
  if (equal(prefixEnd(key), end)) return ['all keys that begin with ', h('code', {}, show(key))];
  return ['from ', h('code', {}, show(key)), ' up to, without, ', h('code', {}, show(end))];
}

export function mount(page) {
  const body = h('div', {}, h('p', { class: 'wait' }, 'Loading…'));
  const answer = h('div', { role: 'status' });
  const keyBox = h('input', { 'aria-label': 'Key', placeholder: 'a key', spellcheck: 'false', autocapitalize: 'off' });
  let a = null;
  const changes = me.readOnly ? [] : [button('Add user…', addUser), button('Add role…', addRole)];
  fill(
    page.root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, 'Users and roles'),
      changes,
      h('button', { type: 'button', onclick: load }, 'Refresh'),
    ),
    h(
      'form',
      {
        class: 'toolbar',
        onsubmit: (e) => {
          e.preventDefault();
          whoMay();
        },
      },
      h('label', { class: 'inline' }, 'Who may touch', keyBox),
      h('button', { class: 'small' }, 'Show'),
    ),
    answer,
    body,
  );
  list(body, 'tr[tabindex]');
  page.every(15000, load);
  load();

  function button(label, f, kind) {
    return h(
      'button',
      {
        type: 'button',
        class: `small ${kind || ''}`,
        onclick: () =>
          f().catch((err) => {
            if (err.name !== 'AbortError') toast(err.message);
          }),
      },
      label,
    );
  }

  async function load() {
    let got;
    try {
      got = await get('access', {}, page.signal);
    } catch (err) {
      if (err.name !== 'AbortError') fill(body, failure(err, load));
      return;
    }
    const same = a && JSON.stringify(a) === JSON.stringify(got);
    a = got;
    if (!same) draw(); // otherwise the focus stays
  }

  function draw() {
    const mine = !me.readOnly;
    const userColumns = [{ name: 'User' }, { name: 'Roles' }, { name: 'Actions', class: 'actions' }];
    const roleColumns = [
      { name: 'Role' },
      { name: 'May' },
      { name: 'Keys' },
      ...(mine ? [{ name: 'Actions', class: 'actions' }] : []),
    ];
    fill(
      body,
      h(
        'p',
        {},
        a.enabled
          ? state('ok', 'Authentication is on.')
          : state('warn', 'Authentication is off: everybody who reaches etcd may do everything.'),
      ),
      a.limited ? h('p', { class: 'notice' }, `You may not see all of them: ${a.limited}`) : null,
      a.more ? h('p', { class: 'notice' }, 'There are more than are shown.') : null,
      a.users.length || a.roles.length
        ? [
            h(
              'section',
              { class: 'panel' },
              table(
                'Users',
                userColumns,
                a.users.map((u) =>
                  row(
                    userColumns,
                    [
                      text(u.name),
                      u.roles.length
                        ? u.roles.map((r) => [h('span', { class: 'tag' }, text(r)), ' '])
                        : h('span', { class: 'muted' }, 'none'),
                      h(
                        'span',
                        { class: 'toolbar' },
                        button('What may it do?', () => mayDo(u)),
                        mine
                          ? [
                              button('Roles…', () => changeRoles(u)),
                              button('Password…', () => password(u)),
                              button(
                                'Delete…',
                                () => change({ action: 'user-delete', user: u.name }, 'Delete it', 'danger'),
                                'danger',
                              ),
                            ]
                          : null,
                      ),
                    ],
                    { tabindex: 0 },
                  ),
                ),
              ),
            ),
            h(
              'section',
              { class: 'panel' },
              table(
                'Roles',
                roleColumns,
                a.roles.flatMap((r) =>
                  (r.permissions.length ? r.permissions : [null]).map((p, i) =>
                    row(
                      roleColumns,
                      [
                        i ? '' : text(r.name),
                        p ? words[p.type] || p.type : r.name === 'root' ? 'everything' : 'nothing',
                        p ? h('span', {}, range(p)) : '',
                        mine
                          ? h(
                              'span',
                              { class: 'toolbar' },
                              i || r.name === 'root' ? null : button('Grant…', () => grant(r)),
                              p
                                ? button('Revoke…', () =>
                                    change({ action: 'role-revoke', role: r.name, may: p }, 'Take it away', 'danger'),
                                  )
                                : null,
                              i
                                ? null
                                : button(
                                    'Delete…',
                                    () => change({ action: 'role-delete', role: r.name }, 'Delete it', 'danger'),
                                    'danger',
                                  ),
                            )
                          : null,
                      ],
                      { tabindex: 0 },
                    ),
                  ),
                ),
              ),
            ),
          ]
        : h('p', { class: 'empty' }, 'There are no users and no roles.'),
    );
  }

  // known returns a note if an answer may be incomplete.
  const known = () =>
    a.limited || a.more
      ? h('p', { class: 'notice' }, 'This takes only the users and roles of this page into account.')
      : !a.enabled
        ? h('p', { class: 'notice' }, 'This applies once authentication is on; until then everybody may do everything.')
        : null;

  async function mayDo(u) {
    const all = sources(u, a.roles);
    await dialog(
      `What may ${u.name} do?`,
      h(
        'div',
        {},
        all.everything
          ? h('p', {}, 'Everything, by the role root.')
          : !all.list.length
            ? h('p', {}, 'Nothing.')
            : h(
                'ul',
                {},
                all.list.map(({ role, p }) =>
                  h(
                    'li',
                    {},
                    `${words[p.type] || p.type} `,
                    range(p),
                    h('span', { class: 'muted' }, ' by the role ', text(role)),
                  ),
                ),
              ),
        known(),
      ),
      [{ value: '', text: 'Close' }],
    );
  }

  function whoMay() {
    if (!a) return;
    const key = read(keyBox.value);
    if (!key.length) {
      fill(answer, h('p', { class: 'muted' }, 'Give a key.'));
      return;
    }
    const columns = [{ name: 'User' }, { name: 'May' }, { name: 'By' }];
    const rows = [];
    for (const u of a.users) {
      const all = sources(u, a.roles);
      const of = all.list.filter(({ p }) => covers(p, key));
      const may = (kind) => all.everything || of.some(({ p }) => p.type === kind || p.type === 'READWRITE');
      if (!may('READ') && !may('WRITE')) continue;
      const by = new Set([...(all.everything ? ['root'] : []), ...of.map(({ role }) => role)]);
      rows.push(
        row(columns, [
          text(u.name),
          may('READ') ? (may('WRITE') ? 'read and write' : 'read') : 'write',
          [...by].map((r) => [h('span', { class: 'tag' }, text(r)), ' ']),
        ]),
      );
    }
    fill(
      answer,
      h(
        'section',
        { class: 'panel' },
        rows.length ? table('Who may touch it', columns, rows) : h('p', {}, 'Nobody may.'),
        h('p', { class: 'muted small' }, 'The key is ', h('code', {}, show(key))),
        known(),
      ),
    );
  }

  // change shows the plan of a change and, if the user confirms, makes it.
  async function change(what, action, kind = 'primary') {
    const plan = await post('access/plan', what);
    const ok = await dialog(
      plan.title,
      h(
        'div',
        {},
        plan.effects.map((e) => h('p', {}, text(e))),
        (plan.warnings || []).map((w) => h('p', { class: 'notice' }, text(w))),
      ),
      [
        { value: '', text: 'Cancel' },
        {
          value: 'yes',
          text: action,
          kind,
          check: () => post('access', { ...what, seen: plan.seen }),
        },
      ],
    );
    if (ok) toast('Done.');
    await load();
  }

  const further = [
    { value: '', text: 'Cancel' },
    { value: 'yes', text: 'Show what it will do' },
  ];
  const name = (label) =>
    h('input', {
      'aria-label': label,
      spellcheck: 'false',
      autocapitalize: 'off',
      autocomplete: 'off',
      data: { focus: '' },
    });
  const secret = (label) => h('input', { type: 'password', 'aria-label': label, autocomplete: 'new-password' });

  async function twice(title, body, first, second, empty) {
    return dialog(title, body, [
      further[0],
      {
        ...further[1],
        check: () => {
          if (first.value !== second.value) throw new Error('The two passwords differ.');
          if (!first.value && !empty) throw new Error('The password is empty.');
        },
      },
    ]);
  }

  async function addUser() {
    const [user, first, second] = [name('Name'), secret('Password'), secret('Password again')];
    const ok = await twice(
      'Add a user',
      h(
        'div',
        {},
        h('label', {}, 'Name', user),
        h('label', {}, 'Password', first),
        h('label', {}, 'Again', second),
        h(
          'p',
          { class: 'muted small' },
          'Without a password the user can only authenticate by a certificate of that name.',
        ),
      ),
      first,
      second,
      true,
    );
    if (ok) await change({ action: 'user-add', user: user.value, password: first.value }, 'Add it');
  }

  async function password(u) {
    const [first, second] = [secret('New password'), secret('New password again')];
    first.dataset.focus = '';
    if (
      await twice(
        'Change a password',
        h(
          'div',
          {},
          h('p', {}, 'Of ', text(u.name)),
          h('label', {}, 'New password', first),
          h('label', {}, 'Again', second),
        ),
        first,
        second,
        false,
      )
    )
      await change({ action: 'user-password', user: u.name, password: first.value }, 'Change it');
  }

  async function changeRoles(u) {
    const names = [...new Set([...a.roles.map((r) => r.name), ...u.roles, 'root'])].sort();
    const pick = h(
      'select',
      { 'aria-label': 'Role', data: { focus: '' } },
      names.map((n) => h('option', { value: n }, `${u.roles.includes(n) ? 'take away ' : 'give '}${n}`)),
    );
    if (
      !(await dialog(
        'Change the roles',
        h('div', {}, h('p', {}, 'Of ', text(u.name)), h('label', {}, 'Role', pick)),
        further,
      ))
    )
      return;
    const takes = u.roles.includes(pick.value);
    await change(
      { action: takes ? 'user-revoke' : 'user-grant', user: u.name, role: pick.value },
      takes ? 'Take it away' : 'Give it',
      takes ? 'danger' : 'primary',
    );
  }

  async function addRole() {
    const role = name('Name');
    if (await dialog('Add a role', h('label', {}, 'Name', role), further))
      await change({ action: 'role-add', role: role.value }, 'Add it');
  }

  async function grant(r) {
    const key = name('Keys');
    const kind = h(
      'select',
      { 'aria-label': 'May' },
      Object.entries(words).map(([value, word]) => h('option', { value }, word)),
    );
    const what = h(
      'select',
      { 'aria-label': 'Which' },
      [
        ['prefix', 'all keys that begin with it'],
        ['key', 'this key alone'],
        ['from', 'this key and all after it'],
      ].map(([value, word]) => h('option', { value }, word)),
    );
    const ok = await dialog(
      'Grant a permission',
      h(
        'div',
        {},
        h('p', {}, 'To the role ', text(r.name)),
        h('label', {}, 'Key; for all keys leave it empty and choose “all keys that begin with it”', key),
        h('label', {}, 'Which', what),
        h('label', {}, 'May', kind),
      ),
      further,
    );
    if (!ok) return;
    let bytes = read(key.value);
    let end = what.value === 'key' ? new Uint8Array(0) : what.value === 'from' ? new Uint8Array([0]) : prefixEnd(bytes);
    if (!bytes.length && what.value !== 'key') [bytes, end] = [new Uint8Array([0]), new Uint8Array([0])];
    await change(
      { action: 'role-grant', role: r.name, may: { key: toB64(bytes), end: toB64(end), type: kind.value } },
      'Grant it',
    );
  }
}
