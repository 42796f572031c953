package registry

import (
	"errors"
	"testing"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func TestFormat(t *testing.T) {
	for want, r := range map[string]Record{
		`{"Op":0,"Addr":"1.2.3.4:80","Metadata":null}`:                   {Addr: "1.2.3.4:80"},
		`{"Op":0,"Addr":"","Metadata":{"zone":"b"}}`:                     {Metadata: map[string]any{"zone": "b"}},
		`{"Op":0,"Addr":"\u003c\u0026\u003e\u2028é\"","Metadata":false}`: {Addr: "<&>\u2028é\"", Metadata: false},
	} {
		got, err := Encode(r)
		if err != nil || got != want {
			t.Errorf("%+v is stored as %s, %v, want %s", r, got, err, want)
		}
		if back, err := Decode([]byte(got)); err != nil || !Equal(*back, r) {
			t.Errorf("%s is read as %+v, %v", got, back, err)
		}
	}
	if _, err := Encode(Record{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("an empty record: %v", err)
	}
}

// FuzzDecode: reading any value fails, or gives a record that can be stored.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"", "null", "{}", "{junk", `{"Op":-1,"Addr":"a"}`, `{"Addr":"a","Metadata":[1,{"b":null}]}`, `{"addr":"a"}`,
		"\x00", `{"Metadata":1e400}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := Decode(value)
		if err != nil {
			return
		}
		again, err := Encode(*r)
		if err != nil {
			t.Fatalf("%q is read as %+v, which cannot be stored: %v", value, r, err)
		}
		if back, err := Decode([]byte(again)); err != nil || !Equal(*back, *r) {
			t.Errorf("%q: %+v became %+v, %v", value, r, back, err)
		}
	})
}
