package command

import "testing"

// A terminal gets no characters that it would act on; other outputs get the bytes unchanged.
func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\tüber 日本": "plain\n\tüber 日本", "a\x1b[31mred": `a\x1b[31mred`, "bell\a\r\n": "bell\\a\\r\n",
		"\xff\xfe": `\xff\xfe`, "\u202e": `\u202e`, "": "",
	} {
		if got := harmless(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	p := &Printer{Width: 80}
	if got := p.Text([]byte("\x1b]0;title\a")); got != `\x1b]0;title\a` {
		t.Errorf("to a terminal: %q", got)
	}
	p.Width = 0
	if got := p.Text([]byte("\x1b]0;title\a")); got != "\x1b]0;title\a" {
		t.Errorf("to a file: %q", got)
	}
}
