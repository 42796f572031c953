package browser

import "testing"

// TestScripts checks the pages' modules against simple definitions, with random input.
func TestScripts(t *testing.T) {
	base, _ := serve(t, cluster)
	b := open(t, base, desktop, "overview")
	for name, check := range map[string]string{
		"a difference turns the one into the other": `(async () => {
			const { diff } = await import('/js/diff.js');
			for (let n = 0; n < 3000; n++) {
				const some = () => Array.from({ length: Math.floor(Math.random() * 12) }, () => 'abcd'[Math.floor(Math.random() * (1 + n % 4))]);
				const [a, b] = [some(), some()];
				const d = diff(a, b);
				const left = d.filter((l) => l[0] !== '+').map((l) => l[1]).join();
				const right = d.filter((l) => l[0] !== '-').map((l) => l[1]).join();
				if (left !== a.join() || right !== b.join()) return JSON.stringify([a, b, d]);
				const common = (i, j) => i === a.length || j === b.length ? 0 : a[i] === b[j] ? 1 + common(i + 1, j + 1) : Math.max(common(i + 1, j), common(i, j + 1));
				if (a.length + b.length < 12 && d.filter((l) => l[0] === ' ').length !== common(0, 0)) return 'not the shortest: ' + JSON.stringify([a, b, d]);
			}
			return '';
		})()`,
		"two long texts without anything in common": `(async () => {
			const { diff } = await import('/js/diff.js');
			const [a, b] = ['a', 'b'].map((c) => Array.from({ length: 9000 }, (_, i) => c + i));
			const begin = performance.now();
			const d = diff(a, b);
			return d.length === 18000 && performance.now() - begin < 3000 ? '' : d.length + ' lines after ' + (performance.now() - begin);
		})()`,
		"what is written can be read": `(async () => {
			const { write, read, toB64, fromB64, digits, unhex, toURL, fromURL, equal } = await import('/js/bytes.js');
			for (let n = 0; n < 5000; n++) {
				const bytes = Uint8Array.from({ length: Math.floor(Math.random() * 20) }, () => n % 2 ? Math.floor(Math.random() * 256) : [0, 9, 10, 13, 92, 120, 48, 110, 117, 123, 125, 0xc3, 0xa9, 0xe2, 0x80, 0xae, 0xff, 0x2f][Math.floor(Math.random() * 18)]);
				if (!equal(read(write(bytes)), bytes)) return 'text: ' + bytes + ' as ' + write(bytes);
				if (!equal(fromB64(toB64(bytes)), bytes) || !equal(fromB64(fromURL(toURL(toB64(bytes)))), bytes)) return 'base64: ' + bytes;
				if (!equal(unhex(digits(bytes)), bytes)) return 'hex: ' + bytes;
			}
			return '';
		})()`,
		"JSON laid out means the same": `(async () => {
			const { json } = await import('/js/bytes.js');
			const some = (d) => [() => Math.random() * 1e9, () => 'a"\\\\{[,:\\n ' + Math.random(), () => null, () => true, () => [], () => ({}),
				() => Array.from({ length: 3 }, () => d ? some(d - 1) : 1), () => Object.fromEntries([['x,"', d ? some(d - 1) : 2], ['', 3]])][Math.floor(Math.random() * 8)]();
			for (let n = 0; n < 2000; n++) {
				const text = JSON.stringify(some(3), null, n % 3);
				const out = json(text);
				if (out === null || JSON.stringify(JSON.parse(out)) !== JSON.stringify(JSON.parse(text))) return text + ' became ' + out;
			}
			for (const no of ['', 'x', '{', '{"a":1,}', '[1 2]', 'undefined', '01']) if (json(no) !== null) return 'it takes ' + no;
			return json('[12345678901234567890,1.0]').includes('12345678901234567890') ? '' : 'a number was changed';
		})()`,
	} {
		var wrong string
		if b.js(check, &wrong); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
	}
}
