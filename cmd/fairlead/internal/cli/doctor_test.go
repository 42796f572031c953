package cli

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestDoctor(t *testing.T) {
	c := shared(t)
	if r := c.run("doctor"); r.code != exitOK || strings.Contains(r.out, "Problem") || r.err != "" {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	cl.Members()[1].Kill()
	c = &cmd{t: t, endpoint: strings.Join(cl.Endpoints(), ",")}
	r := c.run("doctor")
	if r.code != exitFailed || !strings.Contains(r.out, "Problem: member "+cl.Members()[1].Name+" does not answer") || !strings.Contains(r.out, "To do: ") {
		t.Errorf("code %d, output\n%s\nerror\n%s", r.code, r.out, r.err)
	}
	if r := c.run("doctor", "-w", "json"); r.code != exitFailed || !strings.HasPrefix(r.out, `[{"severity":"problem","what":"`) {
		t.Errorf("%+v", r)
	}
}

func TestParagraph(t *testing.T) {
	var b bytes.Buffer
	p := &printer{Writer: bufio.NewWriter(&b), width: 20}
	p.paragraph("  To do: ", "one two three four averyveryverylongwordthatfitsnowhere five")
	p.Flush()
	if want := lines("  To do: one two", "    three four", "    averyveryverylongwordthatfitsnowhere", "    five"); b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
