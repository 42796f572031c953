package cluster

import (
	"bufio"
	"bytes"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// An event of a watching doctor has the time when its finding was first seen, even if the finding's
// figures have changed since.
func TestDoctorsEvents(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	slow := func(what string) finding {
		return finding{Rule: "slow", Severity: "warning", Members: []string{"m1"}, What: what}
	}
	present, events := changes(nil, []finding{slow("100ms")}, at)
	if len(present) != 1 || len(events) != 1 || events[0].Event != "begun" || events[0].Since != nil {
		t.Errorf("begun: %+v, %+v", present, events)
	}
	present, events = changes(present, []finding{slow("200ms"), {Rule: "far"}}, at.Add(time.Second))
	if len(present) != 2 ||
		len(events) != 1 ||
		events[0].Rule != "far" {
		t.Errorf("goes on: %+v, %+v", present, events)
	}
	if present, events = changes(present, nil, at.Add(time.Minute)); len(present) != 0 || len(events) != 2 ||
		events[0].Event != "over" ||
		events[0].What != "200ms" ||
		!events[0].Since.Equal(at) {
		t.Errorf("over: %+v, %+v", present, events)
	}
}

func TestDoctorsCommandLines(t *testing.T) {
	d := diagnosis{own: []string{"--endpoints=a:1,b:2", "--cacert='my ca.pem'", "--user=root"}}
	for c, want := range map[string]string{
		"member list":              "fairlead --endpoints=a:1,b:2 --cacert='my ca.pem' --user=root member list",
		"--endpoints b:2 defrag":   "fairlead --cacert='my ca.pem' --user=root --endpoints b:2 defrag",
		"--user alice lease list":  "fairlead --endpoints=a:1,b:2 --cacert='my ca.pem' --user alice lease list",
		"--cacert FILE get nosuch": "fairlead --endpoints=a:1,b:2 --user=root --cacert FILE get nosuch",
	} {
		if got := d.command(c); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for in, want := range map[string]string{
		"a:1,b": "a:1,b", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "é": "'é'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParagraph(t *testing.T) {
	var b bytes.Buffer
	p := &command.Printer{Writer: bufio.NewWriter(&b), Width: 20}
	printParagraph(p, "  To do: ", "one two three four averyveryverylongwordthatfitsnowhere five")
	p.Flush()
	want := "  To do: one two\n    three four\n    averyveryverylongwordthatfitsnowhere\n    five\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
