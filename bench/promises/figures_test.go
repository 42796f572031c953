package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRepeatedFigures(t *testing.T) {
	res := &result{Row: 4711, Title: "title"}
	values := []float64{3, 1, 2}
	for _, v := range values {
		err := res.run(func(_ context.Context, tr *trial) error {
			tr.under("conditions")
			tr.promise("kept", "s", 3, v).seen("never").here(10 * v)
			tr.promise("not kept", "", 2, v)
			tr.show("nothing promised", "%", v/7)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	res.print(&out)
	summarize(&out, []*result{res}, time.Second)
	for _, want := range []string{
		"4711. title", "conditions:", "1/2/3 s", "never; here 10/20/30 s", "NOT KEPT", "0.143/0.286/0.429 %",
		"1 promises kept, 1 not kept", "not kept: 4711. conditions: not kept: 1/2/3, promised at most 2",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	file := filepath.Join(t.TempDir(), "figures.json")
	if err := writeJSON(file, []*result{res}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back []result
	if err := json.Unmarshal(b, &back); err != nil || len(back) != 1 || len(back[0].Figures) != 3 ||
		*back[0].Figures[1].AtMost != 2 {
		t.Errorf("%s: %v", b, err)
	}
}

// A figure that could not be measured does not count as kept.
func TestNothingMeasured(t *testing.T) {
	res := &result{}
	want := errors.New("no")
	if err := res.run(func(context.Context, *trial) error { return want }); err != want {
		t.Error(err)
	}
	if f := res.figure("did", "what"); (&figure{AtMost: new(float64)}).kept() || !f.kept() {
		t.Error("kept")
	}
}

func TestChooseRows(t *testing.T) {
	if got, err := choose(""); err != nil || len(got) != len(rows) {
		t.Errorf("%d rows, %v", len(got), err)
	}
	if got, err := choose("14, 1"); err != nil || len(got) != 2 || got[0].no != 14 || got[1].no != 1 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"3", "x", "1,,2"} {
		if got, err := choose(bad); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

// One row that takes no time, from its measurement to its figures.
func TestMeasure(t *testing.T) {
	res := &result{}
	if err := res.run(failFast); err != nil {
		t.Fatal(err)
	}
	if len(res.Figures) != 2 || len(res.Figures[0].Ours) != 1 {
		t.Errorf("%+v", res.Figures)
	}
}
