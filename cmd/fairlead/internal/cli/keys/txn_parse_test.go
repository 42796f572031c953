package keys

import (
	"strings"
	"testing"
)

func TestSplitWords(t *testing.T) {
	got, err := splitWords(`put  key "two \"words\"\n" 'it is' --prev-kv `)
	want := []string{"put", "key", "two \"words\"\n", "it is", "--prev-kv"}
	if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
