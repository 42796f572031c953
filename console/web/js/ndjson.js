// Answers that come line by line.

// lines calls f for each line of JSON of a response.
export async function lines(r, f) {
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (err) {
      if (err.name === 'AbortError') throw err;
      return;
    }
    if (part.done) return;
    const all = (rest + part.value).split('\n');
    rest = all.pop();
    for (const line of all) if (line) f(JSON.parse(line));
  }
}
