package workcopy

import (
	"strings"
	"testing"
)

const before = `module example.com/m

go 1.20

toolchain go1.26.10

require (
	example.com/gone v1.0.0
	example.com/high v1.9.0
	example.com/low v1.2.0 // indirect
	example.com/sibling v1.0.0
)

replace (
	example.com/fork => example.com/ours v1.0.0
	example.com/sibling => ../sibling
)
`

const after = `module example.com/m

go 1.26.0

require (
	example.com/high v1.9.0
	example.com/low v1.10.0 // indirect
	example.com/sibling v1.0.0
)

replace example.com/fork => example.com/ours v1.0.0

replace example.com/client => /somewhere/dropin
`

func TestEdit(t *testing.T) {
	got, err := edit([]byte(before), Spec{
		Go: "1.26.0",
		Raise: map[string]string{
			"example.com/high":  "v1.3.0",
			"example.com/low":   "v1.10.0",
			"example.com/other": "v1.0.0",
		},
		Replace: map[string]string{"example.com/client": "/somewhere/dropin"},
	}, map[string]bool{"example.com/gone": true})
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != after {
		t.Errorf("got\n%s\nwant\n%s", got, after)
	}
}

func TestEditKeepsANewerLanguage(t *testing.T) {
	got, err := edit([]byte("module m\n\ngo 1.99.0\n"), Spec{Go: "1.26.0"}, nil)
	if err != nil || !strings.Contains(string(got), "go 1.99.0") {
		t.Errorf("%s, %v", got, err)
	}
}

func TestDownloadSaysWhatIsMissing(t *testing.T) {
	t.Setenv("GOPROXY", "file://"+t.TempDir())
	t.Setenv("GOSUMDB", "off")
	if _, err := Download(t.Context(), "example.com/nothing", "v1.0.0"); err == nil ||
		!strings.Contains(err.Error(), "example.com/nothing@v1.0.0") {
		t.Errorf("error: %v", err)
	}
}
