package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// figure is one measurement, in all runs of its row.
type figure struct {
	Did    string    `json:"did"`    // the conditions
	What   string    `json:"what"`   // what is measured
	Unit   string    `json:"unit"`   // "" for a count
	AtMost *float64  `json:"atMost"` // the promise; nil: none, the figure is for information
	Ours   []float64 `json:"ours"`   // one for each run
	Here   []float64 `json:"officialHere,omitempty"`
	Seen   string    `json:"officialSeen,omitempty"` // when the requirements were written
}

// result is the figures of one row.
type result struct {
	Row     int       `json:"row"`
	Title   string    `json:"title"`
	Figures []*figure `json:"figures"`
}

// promise records a figure that must be at most atMost. Events that must not happen are counted,
// with a promise of 0.
func (t *trial) promise(what, unit string, atMost, got float64) *figure {
	f := t.show(what, unit, got)
	f.AtMost = &atMost
	return f
}

// show records a figure that has no promise.
func (t *trial) show(what, unit string, got float64) *figure {
	f := t.result.figure(t.did, what)
	f.Unit = unit
	f.Ours = append(f.Ours, got)
	return f
}

func (res *result) figure(did, what string) *figure {
	for _, f := range res.Figures {
		if f.Did == did && f.What == what {
			return f
		}
	}
	f := &figure{Did: did, What: what}
	res.Figures = append(res.Figures, f)
	return f
}

// seen records what was measured of the official client when the requirements were written.
func (f *figure) seen(s string) *figure {
	f.Seen = s
	return f
}

// here records the official client's figure of this run.
func (f *figure) here(v float64) *figure {
	f.Here = append(f.Here, v)
	return f
}

func (f *figure) kept() bool {
	return f.AtMost == nil || len(f.Ours) > 0 && slices.Max(f.Ours) <= *f.AtMost
}

// spread formats a figure's value, or lowest/median/highest of several.
func spread(list []float64, unit string) string {
	if len(list) == 0 {
		return "-"
	}
	s := slices.Sorted(slices.Values(list))
	text := number(s[0])
	if len(s) > 1 {
		text += "/" + number(s[len(s)/2]) + "/" + number(s[len(s)-1])
	}
	return strings.TrimSpace(text + " " + unit)
}

// number formats three significant digits but at most four decimals, and all digits of an integer.
func number(v float64) string {
	v = math.Round(v*1e4) / 1e4
	if v == float64(int64(v)) || v >= 1000 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func (f *figure) official() string {
	var parts []string
	if f.Seen != "" {
		parts = append(parts, f.Seen)
	}
	if len(f.Here) > 0 {
		parts = append(parts, "here "+spread(f.Here, f.Unit))
	}
	return strings.Join(parts, "; ")
}

func (res *result) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d. %s\n", res.Row, res.Title)
	did := ""
	for _, f := range res.Figures {
		if f.Did != did {
			did = f.Did
			fmt.Fprintf(w, "  %s:\n", did)
		}
		bar, verdict := "", ""
		if f.AtMost != nil {
			bar = strings.TrimSpace("<= " + number(*f.AtMost) + " " + f.Unit)
			verdict = map[bool]string{true: "kept", false: "NOT KEPT"}[f.kept()]
		}
		fmt.Fprintf(
			w,
			"    %-56s %-13s ours %-20s %-8s  %s\n",
			f.What,
			bar,
			spread(f.Ours, f.Unit),
			verdict,
			withName(f.official()),
		)
	}
}

func withName(official string) string {
	if official == "" {
		return ""
	}
	return "official " + official
}

// summarize counts the promises, and repeats those that were not kept.
func summarize(w io.Writer, results []*result, took time.Duration) {
	kept, broken := 0, 0
	for _, res := range results {
		for _, f := range res.Figures {
			switch {
			case f.AtMost == nil:
			case f.kept():
				kept++
			default:
				broken++
			}
		}
	}
	fmt.Fprintf(w, "\n%d promises kept, %d not kept; %v\n", kept, broken, took.Round(time.Second))
	for _, res := range results {
		for _, f := range res.Figures {
			if !f.kept() {
				fmt.Fprintf(
					w,
					"  not kept: %d. %s: %s: %s, promised at most %s %s\n",
					res.Row,
					f.Did,
					f.What,
					spread(f.Ours, f.Unit),
					number(*f.AtMost),
					f.Unit,
				)
			}
		}
	}
}

func writeJSON(file string, results []*result) error {
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
