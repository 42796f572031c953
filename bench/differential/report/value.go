package report

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// Fields whose values differ between any two clusters: only whether they are set is compared.
var volatile = map[string]bool{
	"ClusterId": true, "MemberId": true, "MemberID": true, "RaftTerm": true,
	"RaftIndex": true, "RaftAppliedIndex": true,
	"DbSize": true, "DbSizeInUse": true, "Leader": true, "Hash": true, "Token": true, "AuthRevision": true,
	"WatchId":        true,
	"StorageVersion": true, // the server moves it on in the background
}

// Fields that hold revisions.
var revisions = map[string]bool{
	"Revision": true, "ModRevision": true, "CreateRevision": true, "CompactRevision": true, "HashRevision": true,
}

// Value formats a response: all exported fields that are set, and empty slices that are not nil.
func (r *Recorder) Value(v any) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	r.value(&b, reflect.ValueOf(v), "", false)
	return b.String()
}

func (r *Recorder) value(b *strings.Builder, v reflect.Value, field string, header bool) {
	switch v.Kind() {
	case reflect.Invalid:
		b.WriteString("nil")
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		r.value(b, v.Elem(), field, header)
	case reflect.Struct:
		r.fields(b, v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			r.bytes(b, v)
			return
		}
		b.WriteString("[")
		for i := range v.Len() {
			if i > 0 {
				b.WriteString(" ")
			}
			r.value(b, v.Index(i), field, header)
		}
		b.WriteString("]")
	case reflect.String:
		fmt.Fprintf(b, "%q", v.String())
	case reflect.Int64:
		switch {
		case revisions[field] && (header && r.revisions != script.Counted || r.revisions == script.Ignored):
			b.WriteString("set")
		case field == "Version" && r.revisions == script.Ignored:
			b.WriteString("set")
		case revisions[field]:
			fmt.Fprintf(b, markFormat, v.Int())
		case field == "Lease" || v.Type().Name() == "LeaseID" || field == "ID":
			b.WriteString(r.lease(v.Int()))
		default:
			fmt.Fprint(b, v.Int())
		}
	default:
		fmt.Fprint(b, v)
	}
}

func (r *Recorder) lease(id int64) string {
	if name, ok := r.leases[id]; ok {
		return name
	}
	if id == 0 {
		return "0"
	}
	return "lease?"
}

func (r *Recorder) bytes(b *strings.Builder, v reflect.Value) {
	if v.IsNil() {
		b.WriteString("nil")
		return
	}
	if v.Len() > 200 {
		fmt.Fprintf(b, "%d bytes", v.Len())
		return
	}
	fmt.Fprintf(b, "%q", v.Bytes())
}

func (r *Recorder) fields(b *strings.Builder, v reflect.Value) {
	header := v.Type().Name() == "ResponseHeader"
	b.WriteString("{")
	first := true
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || v.Field(i).IsZero() {
			continue
		}
		if !first {
			b.WriteString(" ")
		}
		first = false
		b.WriteString(f.Name + ":")
		if volatile[f.Name] {
			b.WriteString("set")
			continue
		}
		r.value(b, v.Field(i), f.Name, header)
	}
	b.WriteString("}")
}
