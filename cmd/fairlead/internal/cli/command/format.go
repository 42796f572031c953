package command

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/fairlead-go/fairlead/clientv3"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// format is an output format. The zero value is plain.
type format int

const (
	FormatPlain format = iota
	FormatJSON
	FormatTable
	FormatFields
	FormatProtobuf
	FormatYAML
)

// String, Set and Type make a flag of it.
func (f *format) String() string {
	return [...]string{"simple", "json", "table", "fields", "protobuf", "yaml"}[*f]
}

func (f *format) Type() string { return "format" }

func (f *format) Set(s string) error {
	switch s {
	case "plain", "simple":
		*f = FormatPlain
	case "json":
		*f = FormatJSON
	case "table":
		*f = FormatTable
	case "fields":
		*f = FormatFields
	case "protobuf":
		*f = FormatProtobuf
	case "yaml":
		*f = FormatYAML
	default:
		return fmt.Errorf("no output format %q: have simple, json, fields, table, protobuf, yaml", s)
	}
	return nil
}

// Printer writes answers in the chosen format. Plain, JSON, fields and protobuf are the same as
// etcdctl's, byte for byte; for answers without a table or fields in etcdctl, they are ours.
// Nothing is written before flush or until the buffer is full.
type Printer struct {
	*bufio.Writer
	Format    format
	Hex       bool
	Width     int // of the terminal; 0 if the output is not one
	documents int // written by yaml so far
}

// Printer returns a printer for the run's output.
func (a *App) Printer() *Printer {
	return &Printer{
		Writer: bufio.NewWriter(a.Env.Stdout),
		Format: a.Out.Format,
		Hex:    a.Out.hex,
		Width:  TerminalWidth(a.Env.Stdout),
	}
}

// View is an answer whose JSON is not that of its Go type.
type View struct {
	Message any // for fields and protobuf
	JSON    any // for JSON and YAML
}

// Print writes an answer in the chosen format and flushes.
func (p *Printer) Print(v any, plain func(), table func() (header []string, rows [][]string)) error {
	shown, ok := v.(View)
	if !ok {
		shown = View{v, v}
	}
	switch p.Format {
	case FormatJSON:
		if err := p.JSON(shown.JSON); err != nil {
			return err
		}
	case FormatYAML:
		if err := p.Yaml(shown.JSON); err != nil {
			return err
		}
	case FormatFields:
		if err := p.Fields(shown.Message); err != nil {
			return err
		}
	case FormatProtobuf:
		if err := p.Protobuf(shown.Message); err != nil {
			return err
		}
	case FormatTable:
		writeTable(p, p.table(table), p.Width)
	default:
		plain()
	}
	return p.Flush()
}

func (p *Printer) table(f func() ([]string, [][]string)) table {
	header, rows := f()
	return table{header, rows}
}

// JSON writes a value as one line of JSON.
func (p *Printer) JSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	p.Write(text)
	return p.WriteByte('\n')
}

// Text returns a key or a value for the output: unchanged, but on a terminal without characters
// that it would act on.
func (p *Printer) Text(b []byte) string {
	switch {
	case !p.Hex && p.Width > 0:
		return harmless(string(b))
	case !p.Hex:
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	return s.String()
}

// harmless is Visible for text of several lines: line ends and tabs stay.
func harmless(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		parts := strings.Split(l, "\t")
		for j, part := range parts {
			parts[j] = Visible(part)
		}
		lines[i] = strings.Join(parts, "\t")
	}
	return strings.Join(lines, "\n")
}

// Line writes a key or a value, and ends the line.
func (p *Printer) Line(b []byte) { fmt.Fprintln(p, p.Text(b)) }

// KeyValue writes a pair as two lines, etcdctl's simple format.
func (p *Printer) KeyValue(kv *mvccpb.KeyValue) {
	p.Line(kv.Key)
	p.Line(kv.Value)
}

// KeyValues writes all pairs of an answer.
func (p *Printer) KeyValues(resp *clientv3.GetResponse) error {
	return p.Print(resp, func() {
		for _, kv := range resp.Kvs {
			p.KeyValue(kv)
		}
	}, func() ([]string, [][]string) { return p.KeyValueTable(resp.Kvs) })
}

// Cell returns a key or a value for a table, where control characters would break the frame.
func (p *Printer) Cell(b []byte) string {
	if p.Hex {
		return p.Text(b)
	}
	return Visible(string(b))
}

// Shown returns a key or a value for a line of our own formats. A terminal would act on control
// characters; a pipe gets the bytes.
func (p *Printer) Shown(b []byte) string {
	if p.Width == 0 {
		return p.Text(b)
	}
	return p.Cell(b)
}

func (p *Printer) keyValueRow(kv *mvccpb.KeyValue) []string {
	lease := ""
	if kv.Lease != 0 {
		lease = LeaseText(kv.Lease)
	}
	return []string{
		p.Cell(kv.Key), p.Cell(kv.Value),
		fmt.Sprint(kv.CreateRevision), fmt.Sprint(kv.ModRevision), fmt.Sprint(kv.Version), lease,
	}
}

// KeyValueTable returns pairs as a table.
func (p *Printer) KeyValueTable(kvs []*mvccpb.KeyValue) (header []string, rows [][]string) {
	for _, kv := range kvs {
		rows = append(rows, p.keyValueRow(kv))
	}
	return []string{"KEY", "VALUE", "CREATE REV", "MOD REV", "VERSION", "LEASE"}, rows
}

// LeaseText returns a lease's id as etcdctl writes and reads it.
func LeaseText(id int64) string { return fmt.Sprintf("%016x", id) }

// IdText returns a member's or a cluster's id as text.
func IdText(id uint64) string { return fmt.Sprintf("%x", id) }

var _ io.Writer = (*Printer)(nil)
