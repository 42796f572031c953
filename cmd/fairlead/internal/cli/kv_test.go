package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func TestGet(t *testing.T) {
	c := shared(t)
	p := key(t, "")
	for _, kv := range []string{"a 1", "b 3", "c 2"} {
		k, v, _ := strings.Cut(kv, " ")
		c.want("OK\n", "put", p+k, v)
	}
	c.want(lines(p+"a", "1"), "get", p+"a")
	c.want("", "get", p+"nosuch")
	c.want(lines(p+"a", "1", p+"b", "3"), "get", p+"a", p+"c")
	c.want(lines(p+"a", "1", p+"b", "3", p+"c", "2"), "get", p, "--prefix")
	c.want(lines(p+"b", "3"), "get", p+"b", "--from-key", "--limit", "1")
	c.want(lines(p+"a", "", p+"b", "", p+"c", ""), "get", "--prefix", "--keys-only", p)
	c.want("3\n", "get", "--prefix", "--count-only", p)
	c.want("1\n3\n2\n", "get", "--prefix", "--print-value-only", p)
	c.want("3\n2\n1\n", "get", "--prefix", "--print-value-only", "--sort-by", "value", "--order", "DESCEND", p)
	c.want("2\n3\n1\n", "get", "--prefix", "--print-value-only", "--order", "descend", p)
	c.want(lines(p+"a", "1"), "get", "--consistency", "s", p+"a")

	var resp struct {
		Count int64
		Kvs   []struct {
			Key, Value  []byte
			ModRevision int64 `json:"mod_revision"`
		}
	}
	c.json(&resp, "get", "--prefix", p)
	if resp.Count != 3 || len(resp.Kvs) != 3 || string(resp.Kvs[1].Value) != "3" {
		t.Errorf("JSON %+v", resp)
	}
	c.want("OK\n", "put", p+"a", "new")
	rev := resp.Kvs[0].ModRevision
	c.want(lines(p+"a", "1"), "get", p+"a", "--rev", itoa(rev))
	c.want(lines(p+"a", "1"), "get", p, "--prefix", "--rev", itoa(rev), "--max-mod-rev", itoa(rev))
	c.want("2\n", "get", p, "--prefix", "--count-only", "--rev", itoa(resp.Kvs[1].ModRevision))
	c.wantFailure(command.ExitFailed, "future revision", "get", p+"a", "--rev", "999999999")
	c.wantFailure(command.ExitFailed, "key is not provided", "get", "")
}

func TestGetHexAndTable(t *testing.T) {
	c := shared(t)
	c.want("OK\n", "put", "hx", "a\x00\xff")
	c.want(`\x68\x78`+"\n"+`\x61\x00\xff`+"\n", "get", "hx", "--hex")
	var resp struct {
		Kvs []struct {
			Create int64 `json:"create_revision"`
			Mod    int64 `json:"mod_revision"`
		}
	}
	c.json(&resp, "get", "hx")
	r := c.run("get", "hx", "-o", "table")
	rows := strings.Split(r.out, "\n")
	if len(rows) != 6 || !strings.Contains(rows[1], "│ KEY │") || !strings.Contains(rows[3], `│ a\x00\xff │`) ||
		!strings.Contains(rows[3], " "+itoa(resp.Kvs[0].Mod)+" │") {
		t.Errorf("table:\n%s", r.out)
	}
}

func TestPut(t *testing.T) {
	c := shared(t)
	k := key(t, "k")
	c.want("OK\n", "put", k, "1")
	c.want(lines("OK", k, "1"), "put", "--prev-kv", k, "2")
	c.with("from\nstdin\n").want("OK\n", "put", k)
	c.want("from\nstdin\n\n", "get", "--print-value-only", k)
	c.want("OK\n", "put", "--", k, "-5")
	c.want("-5\n", "get", "--print-value-only", k)
	var lease struct{ ID int64 }
	c.json(&lease, "lease", "grant", "60")
	id := command.LeaseText(lease.ID)
	c.want("OK\n", "put", "--lease", id, "--ignore-value", k)
	c.want("OK\n", "put", "--ignore-lease", k, "6")
	var resp struct{ Kvs []struct{ Lease int64 } }
	c.json(&resp, "get", k)
	if resp.Kvs[0].Lease != lease.ID {
		t.Errorf("lease %x, want %x", resp.Kvs[0].Lease, lease.ID)
	}
	c.want("lease "+id+" revoked\n", "lease", "revoke", id)
	c.wantFailure(command.ExitFailed, "key not found", "put", "--ignore-value", k)
	c.wantFailure(command.ExitFailed, "lease not found", "put", "--lease", "123", k, "v")
	c.wantFailure(command.ExitFailed, "key is not provided", "put", "", "v")
	var put struct {
		Header struct{ Revision int64 }
	}
	c.json(&put, "put", k, "7")
	if put.Header.Revision == 0 {
		t.Error("JSON without a revision")
	}
	if r := c.run("put", k, "8", "-o", "table", "--prev-kv"); !strings.Contains(r.out, "│            7 │") {
		t.Errorf("table:\n%s", r.out)
	}
}

func TestDel(t *testing.T) {
	c := shared(t)
	p := key(t, "")
	fill := func() {
		for _, k := range []string{"a", "b", "c"} {
			c.want("OK\n", "put", p+k, "v"+k)
		}
	}
	fill()
	c.want("0\n", "del", p+"nosuch")
	c.want(lines("1", p+"a", "va"), "del", "--prev-kv", p+"a")
	c.want("2\n", "del", "--prefix", p)
	fill()
	c.want("2\n", "del", "--range", p+"a", p+"c")
	c.want("1\n", "del", "--range", p+"c") // as with etcdctl
	fill()
	var resp struct {
		Deleted int64
		PrevKvs []struct{ Key []byte } `json:"prev_kvs"`
	}
	c.json(&resp, "del", "--prefix", "--prev-kv", p)
	if resp.Deleted != 3 || len(resp.PrevKvs) != 3 || string(resp.PrevKvs[2].Key) != p+"c" {
		t.Errorf("JSON %+v", resp)
	}
}

// Before a range is deleted without --range, the command prints a warning and waits, since the user
// may have meant two keys. An interrupt keeps the keys.
func TestDelRangeWaits(t *testing.T) {
	c := shared(t)
	a, b := key(t, "a"), key(t, "b")
	c.want("OK\n", "put", a, "1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	var out bytes.Buffer
	said := &onLine{line: "\n", do: func() { interrupt(command.InterruptedError{Signal: 2}) }}
	if code := c.runIn(ctx, &out, said, "del", a, b); code != 130 || out.Len() > 0 {
		t.Errorf("code %d, %q, %q", code, out.String(), said.String())
	}
	c.want(lines(a, "1"), "get", a)
	r := c.run("del", a, b)
	if theirs := c.official("del", a, b); r.code != theirs.code || r.out != "1\n" ||
		strings.Count(theirs.err, "\n") != 1 ||
		!strings.Contains(r.err, fmt.Sprintf("from %q up to %q", a, b)) {
		t.Errorf("%+v; etcdctl %+v", r, theirs)
	}
}

func TestTxn(t *testing.T) {
	c := shared(t)
	p := key(t, "")
	k := p + "k"
	create := `create("` + k + `") = "0"` + "\n\nput " + k + ` "two words"` + "\nget " + k + "\n\nget " + k + "\ndel " +
		k + " --prev-kv\n\n"
	c.with(create).want(lines("SUCCESS", "", "OK", "", k, "two words"), "txn")
	c.with(create).want(lines("FAILURE", "", k, "two words", "", "1", k, "two words"), "txn")
	// Parts may be empty, and the input may end early; every target and operator works.
	c.want("OK\n", "put", k, "5")
	for _, cmp := range []string{
		`value("K") = "5"`, `val("K") > "4"`, `version("K") = "1"`, `ver("K") < 2`, `mod("K") > "0"`, `m("K") != "0"`,
		`create("K") > "0"`, `c("K") != 0`, `lease("K") = "0"`, `value(K) != "x"`,
	} {
		c.with(strings.ReplaceAll(cmp, "K", k)).want("SUCCESS\n", "txn")
	}
	c.with("").want("SUCCESS\n", "txn")
	c.with("\n\n").want("SUCCESS\n", "txn")
	c.with("\nget --prefix --count-only '"+p+"'").want("SUCCESS\n\n1\n", "txn")
	c.with("\n").
		want(lines("compares:", "success requests (get, put, del):", "failure requests (get, put, del):", "SUCCESS"),
			"txn", "-i")

	var resp struct {
		Succeeded bool
		Responses []struct{ Response map[string]any }
	}
	c.with("\nget "+k+"\nput "+k+" 6").json(&resp, "txn")
	if !resp.Succeeded || len(resp.Responses) != 2 || resp.Responses[0].Response["response_range"] == nil {
		t.Errorf("JSON %+v", resp)
	}
	if r := c.with("\nget "+k).run("txn", "-o", "table"); !strings.Contains(r.out, "│ SUCCESS │") ||
		!strings.Contains(r.out, "1 found") {
		t.Errorf("table:\n%s", r.out)
	}
}

func TestTxnBadInput(t *testing.T) {
	c := shared(t)
	for text, says := range map[string]string{
		"nonsense":               "line 1: nonsense is no comparison",
		`size("k") = "1"`:        `cannot compare "size"`,
		`mod("k") = "x"`:         `"x" is no number`,
		`value("k) = "x"`:        "line 1",
		`lease("k") = "zz"`:      `"zz" is no lease`,
		"\nfrobnicate k":         `line 2: "frobnicate" is no request`,
		"\nput k":                "line 2: put needs a value here",
		"\nput \"k v":            "quotes do not match",
		"\nput 'k v":             "quotes do not match",
		"\nget --nosuch k":       "unknown flag",
		"\n\nget":                "line 3: get needs a key",
		"\nput k \"\\q\"":        "escape",
		"\nget --prefix a b\n\n": "no end of range",
	} {
		c.with(text).wantFailure(command.ExitUsage, says, "txn")
	}
	c.with("\nput dup 1\nput dup 2\n").wantFailure(command.ExitFailed, "duplicate key", "txn")
}
