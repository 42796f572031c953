package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// format is an output format. The zero value is plain.
type format int

const (
	formatPlain format = iota
	formatJSON
	formatTable
	formatFields
	formatProtobuf
	formatYAML
)

// String, Set and Type make it a flag.
func (f *format) String() string {
	return [...]string{"simple", "json", "table", "fields", "protobuf", "yaml"}[*f]
}

func (f *format) Type() string { return "format" }

func (f *format) Set(s string) error {
	switch s {
	case "plain", "simple":
		*f = formatPlain
	case "json":
		*f = formatJSON
	case "table":
		*f = formatTable
	case "fields":
		*f = formatFields
	case "protobuf":
		*f = formatProtobuf
	case "yaml":
		*f = formatYAML
	default:
		return fmt.Errorf("no output format %q: have simple, json, fields, table, protobuf, yaml", s)
	}
	return nil
}

// printer writes answers in the chosen format. Plain, JSON, fields and protobuf are etcdctl's, byte
// for byte; tables and fields are ours where etcdctl has none. Nothing is written before flush or
// the buffer is full.
type printer struct {
	*bufio.Writer
	format    format
	hex       bool
	width     int // of the terminal; 0 if the output is none
	documents int // written by yaml so far
}

func (a *app) printer() *printer {
	return &printer{Writer: bufio.NewWriter(a.env.Stdout), format: a.out.format, hex: a.out.hex, width: terminalWidth(a.env.Stdout)}
}

// view is an answer whose JSON is not that of its Go type.
type view struct {
	message any // for fields and protobuf
	json    any // for JSON and YAML
}

// print writes an answer in the chosen format and flushes.
func (p *printer) print(v any, plain func(), table func() (header []string, rows [][]string)) error {
	shown, ok := v.(view)
	if !ok {
		shown = view{v, v}
	}
	switch p.format {
	case formatJSON:
		if err := p.json(shown.json); err != nil {
			return err
		}
	case formatYAML:
		if err := p.yaml(shown.json); err != nil {
			return err
		}
	case formatFields:
		if err := p.fields(shown.message); err != nil {
			return err
		}
	case formatProtobuf:
		if err := p.protobuf(shown.message); err != nil {
			return err
		}
	case formatTable:
		writeTable(p, p.table(table), p.width)
	default:
		plain()
	}
	return p.Flush()
}

func (p *printer) table(f func() ([]string, [][]string)) table {
	header, rows := f()
	return table{header, rows}
}

func (p *printer) json(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	p.Write(text)
	return p.WriteByte('\n')
}

// text is a key or a value as it is to be shown: as it is, but to a terminal without what that
// would act on.
func (p *printer) text(b []byte) string {
	switch {
	case !p.hex && p.width > 0:
		return harmless(string(b))
	case !p.hex:
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	return s.String()
}

// harmless is visible for text of several lines: line ends and tabs stay.
func harmless(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		parts := strings.Split(l, "\t")
		for j, part := range parts {
			parts[j] = visible(part)
		}
		lines[i] = strings.Join(parts, "\t")
	}
	return strings.Join(lines, "\n")
}

func (p *printer) line(b []byte) { fmt.Fprintln(p, p.text(b)) }

// keyValue writes a pair as two lines, etcdctl's simple format.
func (p *printer) keyValue(kv *mvccpb.KeyValue) {
	p.line(kv.Key)
	p.line(kv.Value)
}

// cell is a key or a value in a table, where control characters would break the frame.
func (p *printer) cell(b []byte) string {
	if p.hex {
		return p.text(b)
	}
	return visible(string(b))
}

// shown is a key or a value in a line of our own formats. A terminal would act on control
// characters; a pipe gets the bytes.
func (p *printer) shown(b []byte) string {
	if p.width == 0 {
		return p.text(b)
	}
	return p.cell(b)
}

func keyValueHeader() []string {
	return []string{"KEY", "VALUE", "CREATE REV", "MOD REV", "VERSION", "LEASE"}
}

func (p *printer) keyValueRow(kv *mvccpb.KeyValue) []string {
	lease := ""
	if kv.Lease != 0 {
		lease = leaseText(kv.Lease)
	}
	return []string{
		p.cell(kv.Key), p.cell(kv.Value),
		fmt.Sprint(kv.CreateRevision), fmt.Sprint(kv.ModRevision), fmt.Sprint(kv.Version), lease,
	}
}

// leaseText is a lease's id as etcdctl writes and reads it.
func leaseText(id int64) string { return fmt.Sprintf("%016x", id) }

// idText is a member's or a cluster's id.
func idText(id uint64) string { return fmt.Sprintf("%x", id) }

var _ io.Writer = (*printer)(nil)
